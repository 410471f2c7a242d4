using RelayGate.Core.Smtp;

namespace RelayGate.Core.Tests.Smtp;

public class SessionStateTests
{
    [Theory]
    [InlineData(SessionPhase.Connected, "HELO EHLO RSET NOOP HELP VRFY QUIT")]
    [InlineData(SessionPhase.Greeted, "HELO EHLO RSET NOOP HELP VRFY QUIT STARTTLS AUTH MAIL XCLAIM")]
    [InlineData(SessionPhase.Mail, "HELO EHLO RSET NOOP HELP VRFY QUIT RCPT")]
    [InlineData(SessionPhase.Recipients, "HELO EHLO RSET NOOP HELP VRFY QUIT RCPT DATA BDAT")]
    [InlineData(SessionPhase.Chunks, "HELO EHLO RSET NOOP HELP VRFY QUIT BDAT")]
    public void Only_these_commands_are_legal(SessionPhase phase, string verbs)
    {
        IEnumerable<string> legal = Enum.GetValues<SmtpVerb>().Where(verb => SessionState.Admit(phase, verb) is null).Select(verb => verb.ToString().ToUpperInvariant());

        Assert.Equal(verbs.Split(' ').Order(), legal.Order());
    }

    [Fact]
    public void Every_refusal_has_an_enhanced_code()
    {
        foreach (SessionPhase phase in Enum.GetValues<SessionPhase>())
        {
            foreach (SmtpVerb verb in Enum.GetValues<SmtpVerb>())
                Assert.True(SessionState.Admit(phase, verb) is null or { Code: 502 or 503, Enhanced.Class: 5 }, $"{phase} {verb}");
        }
    }
}
