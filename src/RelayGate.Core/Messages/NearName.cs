namespace RelayGate.Core.Messages;

/// <summary>Finds what a misspelt name was meant to be.</summary>
public static class NearName
{
    private const int MostChanges = 3;
    private const int MostNamed = 3;

    /// <returns>The known name that is few changes away; null when none is.</returns>
    public static string? Of(string name, IEnumerable<string> known)
    {
        int most = Math.Min(MostChanges, (name.Length + 1) / 2);
        return known.Select(k => (Name: k, Changes: Distance(k, name))).Where(k => k.Changes <= most).OrderBy(k => k.Changes).FirstOrDefault().Name;
    }

    /// <summary>As <see cref="Of"/>; where no whole name is near, those that begin as it does.</summary>
    /// <returns>"did you mean a?", or "did you mean a or b?"; null when there is none.</returns>
    public static string? DidYouMean(string name, IEnumerable<string> known)
    {
        string[] all = [.. known];
        string[] near = Of(name, all) is { } one ? [one] : [.. all.Where(k => k.Length > name.Length && Of(name, [k[..name.Length]]) is not null).Take(MostNamed)];
        return near.Length > 0 ? $"did you mean {string.Join(" or ", near)}?" : null;
    }

    /// <summary>Levenshtein distance, ignoring case; names are short.</summary>
    private static int Distance(string a, string b)
    {
        int[] row = [.. Enumerable.Range(0, b.Length + 1)];
        for (int i = 1; i <= a.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                int above = row[j];
                int change = char.ToLowerInvariant(a[i - 1]) == char.ToLowerInvariant(b[j - 1]) ? 0 : 1;
                row[j] = Math.Min(Math.Min(row[j] + 1, row[j - 1] + 1), diagonal + change);
                diagonal = above;
            }
        }
        return row[^1];
    }
}
