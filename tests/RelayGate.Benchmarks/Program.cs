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
    default:
        BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(args);
        break;
}
