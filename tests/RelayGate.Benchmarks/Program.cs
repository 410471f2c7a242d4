using BenchmarkDotNet.Running;
using RelayGate.Benchmarks;

switch (args)
{
    case ["delivery", .. string[] rest]:
        await DeliveryMeasure.RunAsync(rest);
        break;
    case ["delivery-sink"]:
        await DeliveryMeasure.SinkAsync();
        break;
    case ["store", .. string[] rest]:
        await StoreBenchmark.RunAsync(rest);
        break;
    case ["scale", .. { Length: > 0 } rest]:
        await ScaleMeasure.RunAsync(rest);
        break;
    case ["deferred", .. { Length: > 0 } rest]:
        await DeferredMeasure.RunAsync(rest);
        break;
    case ["latency", .. { Length: > 0 } rest]:
        await LatencyMeasure.RunAsync(rest);
        break;
    case ["replay", .. string[] rest]:
        await ReplayBenchmark.RunAsync(rest);
        break;
    case ["statements"]:
        StatementBenchmark.Run();
        break;
    default:
        BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args);
        break;
}
