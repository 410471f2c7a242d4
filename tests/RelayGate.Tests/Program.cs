using RelayGate.Tests.Queue;

namespace RelayGate.Tests;

/// <summary>The test assembly as a process of its own, for tests that kill it. Test runners do not come here.</summary>
internal static class Program
{
    private static async Task<int> Main(string[] args)
    {
        if (args is not ["store-crash", var folder])
            return 64;
        await StoreCrashTests.RunChildAsync(folder);
        return 0;
    }
}
