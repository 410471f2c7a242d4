namespace RelayGate.Storage;

/// <summary>Statements without parameters, as constants so that they are prepared once.</summary>
internal static class Sql
{
    public const string Begin = "begin";
    public const string BeginImmediate = "begin immediate";
    public const string Commit = "commit";
    public const string Rollback = "rollback";
    public const string Savepoint = "savepoint one_write";
    public const string ReleaseSavepoint = "release one_write";
    public const string RollbackToSavepoint = "rollback to one_write";
}
