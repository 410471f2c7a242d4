using System.Text;

namespace RelayGate.InteropTests.NextHops;

/// <summary>Bodies that something on the way might want to improve. One character for each octet; every line ends in CRLF.</summary>
internal static class NastyBody
{
    /// <param name="longest">Octets of the longest line, without CRLF.</param>
    /// <param name="eightBit">Octets over 127, in no known encoding.</param>
    public static string Make(int longest, bool eightBit)
    {
        var text = new StringBuilder();
        foreach (string line in (string[])[
            ".", "..", "...", ". ", ".a", "", "", " ", "\t", "trailing blanks   ", "trailing tab\t", "From the start", ">From quoted", "QUIT", "RSET", "BDAT 5 LAST",
            "--=_boundary", "=20=", "Subject: not a header", new('x', 998), new('.', 998), new('y', longest), "." + new string('z', longest - 1), "\u0001\u0008\u000b\u000c\u001b[0m\u007f",
            "last but one", "", "."])
            text.Append(line).Append("\r\n");
        if (eightBit)
            text.Append(string.Concat(Enumerable.Range(128, 128).Select(c => (char)c))).Append("\r\n.\u00ff\r\n\u00e4\r\n");
        return text.Append("\r\n\r\n").ToString();
    }
}
