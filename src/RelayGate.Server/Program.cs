using RelayGate.Server;

return await CommandLine.RunAsync(args);
