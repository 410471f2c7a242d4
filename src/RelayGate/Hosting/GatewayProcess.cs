namespace RelayGate.Hosting;

/// <summary>What holds for a process that is a gateway, not for a host the library is embedded in.</summary>
public static class GatewayProcess
{
    /// <summary>The uid we run as.</summary>
    public static uint UserId => NativeMethods.EffectiveUid();

    /// <summary>Files that the process creates from now on are for its own user alone (umask 0077); sockets for others get their mode one by one.</summary>
    public static void KeepFilesToOurselves() => _ = NativeMethods.SetUmask(0x3F);

    /// <summary>
    /// Makes SIGINT stop the gateway also where a script started it in the background: there the shell has it ignored, and the runtime respects that.
    /// To be called before anything listens for signals.
    /// </summary>
    public static void HearInterrupts()
    {
        const int Interrupt = 2;
        _ = NativeMethods.SetSignal(Interrupt, 0);
    }
}
