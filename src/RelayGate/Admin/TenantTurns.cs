namespace RelayGate.Admin;

/// <summary>What customers ask for that reads much runs one at a time, and keeps no administrator waiting.</summary>
internal sealed class TenantTurns : IDisposable
{
    private readonly SemaphoreSlim _tenants = new(1);

    public async Task<T> RunAsync<T>(AdminRequest request, Func<Task<T>> read)
    {
        if (request.Caller.IsAdministrator)
            return await read();
        await _tenants.WaitAsync(request.Aborted);
        try
        {
            return await read();
        }
        finally
        {
            _tenants.Release();
        }
    }

    public void Dispose() => _tenants.Dispose();
}
