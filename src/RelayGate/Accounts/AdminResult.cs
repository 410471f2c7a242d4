using System.Diagnostics.CodeAnalysis;

namespace RelayGate.Accounts;

/// <summary>Why a change was not made.</summary>
public enum AdminErrorKind
{
    /// <summary>The object named does not exist.</summary>
    NotFound,

    /// <summary>It exists already, or something else has what it asks for.</summary>
    Conflict,

    /// <summary>A value is not what it must be.</summary>
    Invalid,

    /// <summary>It cannot be removed while other objects or mail depend on it.</summary>
    InUse,
}

/// <param name="Message">One line for an administrator: what is wrong, where, and what would be right.</param>
public sealed record AdminError(AdminErrorKind Kind, string Message);

/// <summary>A value, or the error that took its place.</summary>
public sealed record AdminResult<T>(T? Value, AdminError? Error)
    where T : class
{
    [MemberNotNullWhen(true, nameof(Value))]
    [MemberNotNullWhen(false, nameof(Error))]
    public bool IsOk => Error is null;
}

/// <summary>One page of a list, in the order of its key.</summary>
/// <param name="Next">The key after which the next page begins; null on the last page.</param>
public sealed record Page<T>(IReadOnlyList<T> Items, string? Next);

/// <summary>Ends a change from within: rolls its transaction back and becomes the <see cref="AdminError"/> of its result.</summary>
internal sealed class AdminException(AdminError error) : Exception(error.Message)
{
    public AdminException(AdminErrorKind kind, string message)
        : this(new AdminError(kind, message))
    {
    }

    public AdminError Error { get; } = error;

    public static AdminException NotFound(string message) => new(AdminErrorKind.NotFound, message);

    public static AdminException Conflict(string message) => new(AdminErrorKind.Conflict, message);

    public static AdminException Invalid(string message) => new(AdminErrorKind.Invalid, message);

    public static AdminException InUse(string message) => new(AdminErrorKind.InUse, message);
}
