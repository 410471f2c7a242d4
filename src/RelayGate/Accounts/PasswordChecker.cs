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
    private readonly Dictionary<string, Task<PasswordCheck>> _underWay = [];
    private readonly ScramRecord _nobody;

    // Two generations: when the younger is full it becomes the older, and what nobody asked for since is gone.
    private Dictionary<string, VerifiedLogin> _younger = [];
    private Dictionary<string, VerifiedLogin> _older = [];

    public PasswordChecker(TimeProvider time)
    {
        _time = time;
        _nobody = ScramRecord.Create(Convert.ToBase64String(RandomNumberGenerator.GetBytes(32)));
    }

    /// <summary>Hashes made since the start.</summary>
    public long Hashes { get; private set; }

    /// <param name="login">Canonical mailbox address or name of the credential.</param>
    /// <param name="record">The stored RFC 5803 record; null for a login that does not exist, which costs the same time.</param>
    /// <param name="previous">The record of a replaced password that is still valid, with the salt of its successor; it costs no hash of its own.</param>
    public ValueTask<PasswordCheck> CheckAsync(string login, string password, string? record, string? previous, CancellationToken cancellationToken)
    {
        string proof = Proof(login, password, record + previous);
        Task<PasswordCheck>? check;
        lock (_gate)
        {
            if (record is not null && Verified(login, proof) is { } entry)
                return ValueTask.FromResult(new PasswordCheck(AuthenticationOutcome.Accepted, entry.IsPrevious));
            if (!_underWay.TryGetValue(proof, out check)) // One hash at a time for the same login and password.
            {
                check = Task.Run(() => HashAsync(login, password, record, previous, proof), CancellationToken.None);
                _underWay.Add(proof, check);
                _ = check.ContinueWith(_ => Ended(proof), CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
            }
        }
        return new ValueTask<PasswordCheck>(check.WaitAsync(cancellationToken));
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

    private async Task<PasswordCheck> HashAsync(string login, string password, string? record, string? previous, string proof)
    {
        using var deadline = new CancellationTokenSource(LongestWait, _time);
        try
        {
            await _slots.WaitAsync(deadline.Token);
        }
        catch (OperationCanceledException)
        {
            return new PasswordCheck(AuthenticationOutcome.TryLater);
        }
        bool matches, isPrevious;
        try
        {
            bool known = ScramRecord.TryParse(record ?? "", out ScramRecord? stored);
            matches = (stored ?? _nobody).Matches(password, ScramRecord.Read(previous), out isPrevious) && known;
        }
        finally
        {
            _slots.Release();
        }
        lock (_gate)
        {
            Hashes++;
            if (matches)
                Keep(login, new VerifiedLogin(proof, isPrevious, _time.GetUtcNow() + KeptFor));
        }
        return new PasswordCheck(matches ? AuthenticationOutcome.Accepted : AuthenticationOutcome.Rejected, isPrevious);
    }

    private void Ended(string proof)
    {
        lock (_gate)
            _underWay.Remove(proof);
    }

    private VerifiedLogin? Verified(string login, string proof)
    {
        if (!_younger.TryGetValue(login, out VerifiedLogin? entry) && _older.Remove(login, out entry))
            Keep(login, entry);
        return entry is not null && entry.Until > _time.GetUtcNow() && entry.Proof == proof ? entry : null;
    }

    private void Keep(string login, VerifiedLogin entry)
    {
        if (_younger.Count >= Capacity / 2 && !_younger.ContainsKey(login))
            (_older, _younger) = (_younger, []);
        _younger[login] = entry;
    }

    /// <summary>Comparing two of these tells nothing of the password: the key is random and never leaves the process.</summary>
    private string Proof(string login, string password, string? record) =>
        Convert.ToBase64String(HMACSHA256.HashData(_key, Encoding.UTF8.GetBytes($"{login.Length}:{login}{password.Length}:{password}{record}")));

    private sealed record VerifiedLogin(string Proof, bool IsPrevious, DateTimeOffset Until);
}

/// <param name="IsPrevious">It was the password that is being replaced.</param>
public readonly record struct PasswordCheck(AuthenticationOutcome Outcome, bool IsPrevious = false);
