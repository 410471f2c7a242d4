namespace RelayGate.Storage;

/// <summary>The store cannot be used: its message is one line that says what is wrong and what to do, fit for the terminal.</summary>
public sealed class StoreUnusableException : Exception
{
    public StoreUnusableException()
    {
    }

    public StoreUnusableException(string message)
        : base(message)
    {
    }

    public StoreUnusableException(string message, Exception? cause)
        : base(message, cause)
    {
    }
}
