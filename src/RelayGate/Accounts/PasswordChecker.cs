using System.Security.Cryptography;
using System.Text;

namespace RelayGate.Accounts;

/// <summary>Checks passwords without letting their cost become a weapon: PHP opens a connection for each mail, and a hash costs 30 ms.</summary>
/// <remarks>
/// A right password is remembered for ten minutes, as an HMAC under a key of this process that covers login, password and stored record, so
/// that a changed record is never matched by an old entry. Wrong passwords and unknown logins are never remembered and always cost one hash.
/// </remarks>
public sealed class PasswordChecker : IDisposable
{
    /// <summary>Verified logins kept, at most.</summary>
    public const int Capacity = 20_000;

    private static readonly TimeSpan KeptFor = TimeSpan.FromMinutes(10);
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(5); // For a free slot; then 454 4.7.0.

    private readonly TimeProvider _time;
    private readonly byte[] _key = RandomNumberGenerator.GetBytes(32);
    private readonly SemaphoreSlim _slots = new(Math.Max(1, Environment.ProcessorCount - 1));
    private readonly Lock _gate = new();
    private readonly Dictionary<string, Task<AuthenticationOutcome>> _underWay = [];
    private readonly ScramRecord _nobody;

    // Two generations: when the younger is full it becomes the older, and what nobody asked for since is gone.
    private Dictionary<string, Verified> _younger = [];
    private Dictionary<string, Verified> _older = [];

    public PasswordChecker(TimeProvider time)
    {
        _time = time;
        _nobody = ScramRecord.Create(Convert.ToBase64String(RandomNumberGenerator.GetBytes(32)));
    }

    /// <summary>Hashes made since the start.</summary>
    public long Hashes { get; private set; }

    /// <param name="login">Canonical mailbox address.</param>
    /// <param name="record">The stored RFC 5803 record; null for a login that does not exist, which costs the same time.</param>
    public ValueTask<AuthenticationOutcome> CheckAsync(string login, string password, string? record, CancellationToken cancellationToken)
    {
        string proof = Proof(login, password, record);
        Task<AuthenticationOutcome>? check;
        lock (_gate)
        {
            if (record is not null && IsVerified(login, proof))
                return ValueTask.FromResult(AuthenticationOutcome.Accepted);
            if (!_underWay.TryGetValue(proof, out check)) // One hash at a time for the same login and password.
            {
                check = Task.Run(() => HashAsync(login, password, record, proof), CancellationToken.None);
                _underWay.Add(proof, check);
                _ = check.ContinueWith(_ => Ended(proof), CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
            }
        }
        return new ValueTask<AuthenticationOutcome>(check.WaitAsync(cancellationToken));
    }

    /// <summary>Forgets a login, after its password changed or it was suspended or removed.</summary>
    public void Forget(string login)
    {
        lock (_gate)
        {
            _younger.Remove(login);
            _older.Remove(login);
        }
    }

    public void Dispose() => _slots.Dispose();

    private async Task<AuthenticationOutcome> HashAsync(string login, string password, string? record, string proof)
    {
        using var deadline = new CancellationTokenSource(LongestWait, _time);
        try
        {
            await _slots.WaitAsync(deadline.Token);
        }
        catch (OperationCanceledException)
        {
            return AuthenticationOutcome.TryLater;
        }
        bool matches;
        try
        {
            bool known = ScramRecord.TryParse(record ?? "", out ScramRecord? stored);
            matches = (stored ?? _nobody).Matches(password) && known;
        }
        finally
        {
            _slots.Release();
        }
        lock (_gate)
        {
            Hashes++;
            if (matches)
                Remember(login, proof);
        }
        return matches ? AuthenticationOutcome.Accepted : AuthenticationOutcome.Rejected;
    }

    private void Ended(string proof)
    {
        lock (_gate)
            _underWay.Remove(proof);
    }

    private bool IsVerified(string login, string proof)
    {
        if (!_younger.TryGetValue(login, out Verified? entry) && _older.Remove(login, out entry))
            Keep(login, entry);
        return entry is not null && entry.Until > _time.GetUtcNow() && entry.Proof == proof;
    }

    private void Remember(string login, string proof) => Keep(login, new Verified(proof, _time.GetUtcNow() + KeptFor));

    private void Keep(string login, Verified entry)
    {
        if (_younger.Count >= Capacity / 2 && !_younger.ContainsKey(login))
            (_older, _younger) = (_younger, []);
        _younger[login] = entry;
    }

    /// <summary>Comparing two of these tells nothing of the password: the key is random and never leaves the process.</summary>
    private string Proof(string login, string password, string? record) =>
        Convert.ToBase64String(HMACSHA256.HashData(_key, Encoding.UTF8.GetBytes($"{login.Length}:{login}{password.Length}:{password}{record}")));

    private sealed record Verified(string Proof, DateTimeOffset Until);
}
