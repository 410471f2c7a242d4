using RelayGate.Core.Policy;

namespace RelayGate.Core.Tests.Policy;

/// <summary>Which script a local message is put down to, and what of it is proved.</summary>
public class SendingScriptTests
{
    private static readonly PeerProcess Sendmail = new(1001, 1001, 7)
    {
        Command = "relaygate-sendm",
        Executable = "/usr/sbin/relaygate-sendmail",
        Parents = [new(6, 1001, "sh", "/usr/bin/dash"), new(5, 1001, "php-fpm8.2", "/usr/sbin/php-fpm8.2"), new(1, 0, "systemd", null)],
    };

    [Theory]
    [InlineData("1001:contact.php", "contact.php", true, null)]
    [InlineData("1001:x.php(12) : eval()'d code", "x.php", true, "1001:x.php(12) : eval()'d code")]
    [InlineData("1001:x.php(3) : eval()'d code(1) : eval()'d code", "x.php", true, "1001:x.php(3) : eval()'d code(1) : eval()'d code")]
    [InlineData("1001:copy (2).php", "copy (2).php", true, null)]
    [InlineData("1001:copy(2).php(7) : runtime-created function", "copy(2).php", true, "1001:copy(2).php(7) : runtime-created function")]
    [InlineData("1002:contact.php", "contact.php", false, "1002:contact.php")] // Another uid's: counted for the one who sent it.
    [InlineData("contact.php", "contact.php", false, "contact.php")]
    [InlineData("-1:contact.php", "-1:contact.php", false, "-1:contact.php")]
    [InlineData("1001:../../etc/passwd", "passwd", true, "1001:../../etc/passwd")]
    [InlineData("1001:*", "_", true, "1001:*")] // Would be all scripts.
    [InlineData("1001:(cron)", "_cron)", true, "1001:(cron)")]
    public void A_php_script_is_named_by_its_file_and_proved_by_its_uid(string header, string name, bool isProved, string? original)
    {
        SendingScript script = SendingScript.Of(Sendmail, header, null)!;

        Assert.Equal((new ScriptKey(1001, name), isProved, original), (script.Key, script.IsProved, script.Original));
    }

    [Theory]
    [InlineData("1001:", "/usr/sbin/php-fpm8.2")]
    [InlineData("1001: / ", "/usr/sbin/php-fpm8.2")]
    [InlineData("", "/usr/sbin/php-fpm8.2")]
    public void A_header_that_names_no_file_says_nothing(string header, string script) =>
        Assert.Equal(script, SendingScript.Of(Sendmail, header, null)!.Key.Script);

    [Theory]
    [InlineData("/var/www/shop/contact.php", "/var/www/shop/contact.php")]
    [InlineData("/var/www/shop/index.php", null)] // Includes the one that calls mail().
    public void The_claimed_path_is_shown_where_its_file_is_the_script(string claimed, string? path) =>
        Assert.Equal(path, SendingScript.Of(Sendmail, "1001:contact.php", new SenderClaims(claimed))!.Path);

    [Fact]
    public void A_script_that_is_only_claimed_is_not_proved()
    {
        SendingScript script = SendingScript.Of(Sendmail, null, new SenderClaims("/var/www/shop/index.php"))!;

        Assert.Equal((new ScriptKey(1001, "index.php"), false, "/var/www/shop/index.php"), (script.Key, script.IsProved, script.Path));
    }

    [Fact]
    public void Without_a_script_it_is_the_program_that_wrote_the_message()
    {
        SendingScript script = SendingScript.Of(Sendmail, null, null)!;
        SendingScript cron = SendingScript.Of(new PeerProcess(0, 0, 9) { Command = "sendmail", Parents = [new(8, 0, "cron", null)] }, null, null)!;
        SendingScript direct = SendingScript.Of(new PeerProcess(0, 0, 9) { Command = "python3", Executable = "/usr/bin/python3.12" }, null, null)!;
        SendingScript gone = SendingScript.Of(new PeerProcess(0), null, null)!;

        Assert.Equal(("/usr/sbin/php-fpm8.2", true), (script.Key.Script, script.IsProved));
        Assert.Equal(("(cron)", false), (cron.Key.Script, cron.IsProved)); // A process chooses its own name.
        Assert.Equal(("/usr/bin/python3.12", true), (direct.Key.Script, direct.IsProved));
        Assert.Equal((ScriptKey.Unknown, false), (gone.Key.Script, gone.IsProved));
    }

    [Fact]
    public void What_only_the_client_vouches_for_is_held_with_any_php_script_of_its_uid()
    {
        string[] blocked = ["contact.php"];
        PeerProcess adopted = Sendmail with { Parents = [new(1, 0, "systemd", "/usr/lib/systemd/systemd")] }; // setsid -f sendmail: its caller has ended.
        PeerProcess session = Sendmail with { Parents = [new(6, 1001, "sh", "/usr/bin/dash"), new(811, 1001, "systemd", "/usr/lib/systemd/systemd")] };
        PeerProcess orphan = Sendmail with { Parents = [] };
        PeerProcess cron = Sendmail with { Parents = [new(6, 1001, "sh", null), new(5, 0, "cron", null)] };

        Assert.Equal("contact.php", SendingScript.Of(Sendmail, null, new SenderClaims("/var/www/shop/index.php"))!.FindBlock(blocked));
        Assert.Equal("contact.php", SendingScript.Of(adopted, null, null)!.FindBlock(blocked));
        Assert.Equal("contact.php", SendingScript.Of(session, null, null)!.FindBlock(blocked));
        Assert.Equal("contact.php", SendingScript.Of(orphan, null, null)!.FindBlock(blocked));
        Assert.Null(SendingScript.Of(cron, null, null)!.FindBlock(blocked));
        Assert.Null(SendingScript.Of(adopted, "1001:index.php", null)!.FindBlock(blocked)); // Named in the field.
        Assert.Null(SendingScript.Of(adopted, null, null)!.FindBlock(["/usr/bin/python3.12"])); // A block of a program is for that alone.
    }

    [Fact]
    public void Mail_that_is_not_local_has_no_script() => Assert.Null(SendingScript.Of(null, "1001:contact.php", new SenderClaims("/x.php")));

    [Fact]
    public void A_long_name_is_cut_and_its_end_is_kept()
    {
        string name = SendingScript.Of(Sendmail, $"1001:{new string('x', 400)}.php", null)!.Key.Script;

        Assert.True(name.Length <= ScriptKey.MaxLength);
        Assert.EndsWith(".php", name, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("contact.php", "contact.php", true)]
    [InlineData("contact.php", "index.php", false)]
    [InlineData("contact.php", "/usr/sbin/php-fpm8.2", true)] // The script with its name left out.
    [InlineData("contact.php", "(php)", true)]
    [InlineData("contact.php", "/usr/sbin/apache2", true)]
    [InlineData("contact.php", "?", true)]
    [InlineData("contact.php", "/usr/bin/python3.12", false)]
    [InlineData("contact.php", "(cron)", false)]
    [InlineData("*", "index.php", true)]
    [InlineData("*", "?", true)]
    [InlineData("/usr/bin/python3.12", "/usr/bin/python3.12", true)]
    [InlineData("/usr/bin/python3.12", "/usr/sbin/php-fpm8.2", false)]
    [InlineData("?", "/usr/sbin/php-fpm8.2", false)]
    public void A_block_holds_its_script_and_what_could_be_it(string blocked, string script, bool holds) =>
        Assert.Equal(holds, new ScriptKey(1001, script).IsBlockedBy(blocked));
}
