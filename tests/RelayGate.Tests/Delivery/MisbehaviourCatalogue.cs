using RelayGate.Tests.Fakes;

namespace RelayGate.Tests.Delivery;

/// <summary>What broken and hostile next hops do, as a table: once for every stage, and what belongs to one stage alone.</summary>
internal static class MisbehaviourCatalogue
{
    /// <summary>The stages at which <see cref="AtEveryStage"/> is played; in <see cref="HopMode.Chunked"/> DATA does not occur.</summary>
    public static IReadOnlyList<string> Stages { get; } = ["connect", "EHLO", "MAIL", "RCPT", "DATA", "content"];

    private const HopMode Grouped = HopMode.Pipelined | HopMode.ChunkedFirst | HopMode.Tls;

    private static readonly HopAction OneMore = new HopAction.RawThenUsual("250 2.1.0 Ok\r\n");
    private static readonly HopAction NoTls = new HopAction.Raw("550 5.7.10 Encryption needed\r\n");
    private static readonly string Continued = new('x', 60);

    /// <summary>Name, expected status, whether it costs a time limit, and the act, made from the code that would be right.</summary>
    public static IReadOnlyList<(string Name, string Expected, bool Waits, Func<string, HopAction> Act)> AtEveryStage { get; } =
    [
        ("closes", "4.4.2", false, _ => new HopAction.Close()),
        ("resets", "4.4", false, _ => new HopAction.Reset()),
        ("ends its input and listens on", "4.4.2", false, _ => new HopAction.HalfClose("")),
        ("begins a reply and closes", "4.4.2", false, code => new HopAction.RawThenClose($"{code[..2]}")),
        ("sends one line of two and closes", "4.4.2", false, code => new HopAction.RawThenClose($"{code}-first\r\n")),
        ("sends one line of two and resets", "4.4", false, code => new HopAction.RawThenReset($"{code}-first\r\n")),
        ("is silent", "4.4.2", true, _ => new HopAction.Stall()),
        ("begins a reply and stops", "4.4.2", true, code => new HopAction.RawThenStop($"{code} go o")),
        ("sends one line of two and stops", "4.4.2", true, code => new HopAction.RawThenStop($"{code}-first\r\n")),
        ("trickles lines that never end", "4.4.2", true, code => new HopAction.Trickle($"{code}-{Continued}\r\n")),
        ("sends lines without end", "4.5.0", false, code => new HopAction.Endless($"{code}-more\r\n")),
        ("sends one line without end", "4.5.0", false, _ => new HopAction.Endless(new string('2', 100))),
        ("sends NUL without end", "4.5.0", false, _ => new HopAction.Endless("\0\0\0\0")),
        ("sends a line of 3000 octets", "4.5.0", false, code => new HopAction.Raw($"{code} {new string('x', 3000)}\r\n")),
        ("sends 101 lines", "4.5.0", false, code => new HopAction.Raw(string.Concat(Enumerable.Repeat($"{code}-x\r\n", 100)) + $"{code} x\r\n")),
        ("ends its reply with a bare LF", "4.5.0", false, code => new HopAction.Raw($"{code} ok\n")),
        ("ends a line of its reply with a bare LF", "4.5.0", false, code => new HopAction.Raw($"{code}-ok\n{code} ok\r\n")),
        ("has a bare CR in its reply", "4.5.0", false, code => new HopAction.Raw($"{code} o\rk\r\n")),
        ("ends its reply with CR CR LF", "4.5.0", false, code => new HopAction.Raw($"{code} ok\r\r\n")),
        ("sends NUL after the code", "4.5.0", false, code => new HopAction.Raw($"{code}\0ok\r\n")),
        ("sends NUL before the code", "4.5.0", false, code => new HopAction.Raw($"\0{code} ok\r\n")),
        ("sends a code of four digits", "4.5.0", false, code => new HopAction.Raw($"{code}0 ok\r\n")),
        ("sends a code of two digits", "4.5.0", false, code => new HopAction.Raw($"{code[..2]} ok\r\n")),
        ("sends a code with a letter in it", "4.5.0", false, code => new HopAction.Raw($"{code[..2]}O ok\r\n")),
        ("sends digits that are not ASCII", "4.5.0", false, _ => new HopAction.Raw("\u00b2\u00b50 ok\r\n")),
        ("sends a code of 1yz", "4.5.0", false, _ => new HopAction.Raw("150 wait\r\n")),
        ("sends a code of 6yz", "4.5.0", false, _ => new HopAction.Raw("650 what\r\n")),
        ("sends 000", "4.5.0", false, _ => new HopAction.Raw("000 ok\r\n")),
        ("sends a code that cannot be", "4.5.0", false, code => new HopAction.Raw($"{code[0]}99 ok\r\n")),
        ("changes the code in its reply", "4.5.0", false, code => new HopAction.Raw($"{code}-ok\r\n{code[0]}51 ok\r\n")),
        ("changes to a refusal in its reply", "4.5.0", false, code => new HopAction.Raw($"{code}-ok\r\n550 no\r\n")),
        ("changes from a refusal in its reply", "4.5.0", false, code => new HopAction.Raw($"550-no\r\n{code} ok\r\n")),
        ("puts a plus after the code", "4.5.0", false, code => new HopAction.Raw($"{code}+ok\r\n")),
        ("puts a blank before the code", "4.5.0", false, code => new HopAction.Raw($" {code} ok\r\n")),
        ("sends an empty line", "4.5.0", false, _ => new HopAction.Raw("\r\n")),
        ("sends an LF", "4.5.0", false, _ => new HopAction.Raw("\n")),
        ("says OK without a code", "4.5.0", false, _ => new HopAction.Raw("OK\r\n")),
        ("speaks HTTP", "4.5.0", false, _ => new HopAction.Raw("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")),
        ("speaks POP3", "4.5.0", false, _ => new HopAction.Raw("+OK ready\r\n")),
        ("sends a positive reply that is not due", "4", false, code => new HopAction.Raw(code == "354" ? "250 ok\r\n" : "354 go on\r\n")),
        ("says 421 and closes", "4.3.2", false, _ => new HopAction.RawThenClose("421 4.3.2 Going down\r\n")),
        ("says 421 and stays", "4.3.2", false, _ => new HopAction.Raw("421 4.3.2 Going down\r\n")),
        ("says 421 and resets", "4", false, _ => new HopAction.RawThenReset("421 4.3.2 Going down\r\n")),
        ("says 421 in three lines", "4.3.2", false, _ => new HopAction.RawThenClose("421-4.3.2 Going\r\n421-4.3.2 down\r\n421 4.3.2 now\r\n")),
        ("refuses for now", "4.3.0", false, _ => new HopAction.Raw("451 4.3.0 Later\r\n")),
    ];

    public static IReadOnlyList<Misbehaviour> Special { get; } =
    [
        // Greeting and EHLO.
        new("refuses us by 554 in its greeting", "4.7.1", On("connect", new HopAction.RawThenClose("554 5.7.1 Your address is listed\r\n"))),
        new("refuses us by 554 in its greeting and stays", "4.7.1", On("connect", new HopAction.Raw("554-5.7.1 Your address\r\n554 5.7.1 is listed\r\n"))),
        new("greets with 521", "4", On("connect", new HopAction.RawThenClose("521 does not accept mail\r\n"))),
        new("greets with 250", "4.5.0", On("connect", new HopAction.Raw("250 hello\r\n"))),
        new("greets twice", "4.5.0", On("connect", new HopAction.RawThenUsual("220 mx.example ESMTP\r\n"))),
        new("greets in 90 lines", "ok", On("connect", new HopAction.Raw(string.Concat(Enumerable.Repeat("220-" + new string('x', 300) + "\r\n", 90)) + "220 mx.example\r\n"))),
        new("greets with a code alone", "ok", On("connect", new HopAction.Raw("220\r\n"))),
        new("greets in octets that are no UTF-8", "ok", On("connect", new HopAction.Raw("220 \u00ff\u00fe\u0080 ready\u0000\r\n"))),
        new("replies to EHLO twice", "4.5.0", On("EHLO", new HopAction.RawThenUsual("250 mx.example\r\n"))) { Modes = HopMode.Plain | HopMode.Pipelined | HopMode.Chunked },
        new("has 10,000 lines of EHLO", "4.5.0", On("EHLO", new HopAction.Raw("250-mx\r\n" + string.Concat(Enumerable.Repeat("250-X\r\n", 9_998)) + "250 X\r\n"))),
        new("has 99 keywords that nobody knows", "ok", On("EHLO", new HopAction.Raw("250-mx\r\n" + string.Concat(Enumerable.Range(0, 98).Select(i => $"250-X{i}={i}  \t\r\n")) + "250 XXXXXXXX\r\n"))),
        new("knows no EHLO", "ok", On("EHLO", new HopAction.Raw("502 5.5.1 What?\r\n"))),
        new("knows neither EHLO nor HELO", "4", e => e.Verb is "EHLO" or "HELO" ? new HopAction.Raw("502 5.5.1 What?\r\n") : null),
        new("answers HELO with 251", "4.5.0", e => e.Verb switch { "EHLO" => new HopAction.Raw("500 What?\r\n"), "HELO" => new HopAction.Raw("251 mx\r\n"), _ => null }),
        new("closes on EHLO with 502", "4.4.2", On("EHLO", new HopAction.RawThenClose("502 What?\r\n"))),
        new("refuses our name by 550 to EHLO and HELO", "4.7.1", e => e.Verb is "EHLO" or "HELO" ? new HopAction.Raw("550 5.7.1 Bad HELO\r\n") : null) { Afterwards = "4.7.1" }, // Our name is refused, so the address pauses there.

        // What it offers and does not do.
        new("offers CHUNKING and knows no BDAT", "ok", Usual) { Modes = HopMode.Chunked, Lacks = ["BDAT"] },
        new("offers CHUNKING and knows no BDAT for a large message", "ok", Usual) { Modes = HopMode.Chunked, Lacks = ["BDAT"], Body = Large(100_000) },
        new("offers CHUNKING, knows no BDAT, and the content holds commands", "ok", Usual) { Modes = HopMode.Chunked, Lacks = ["BDAT"], Body = "RSET\r\nMAIL FROM:<evil@shop.test>\r\nRCPT TO:<evil@dest.test>\r\n" },
        new("offers PIPELINING and forgets what comes with MAIL", "4.4.2", On("MAIL", new HopAction.DropPipelined())) { Modes = HopMode.Pipelined | HopMode.Tls, Waits = true },
        new("offers 8BITMIME and refuses 8-bit content", "5.6.1", On("content", new HopAction.Raw("554 5.6.1 8-bit\r\n"))) { Body = "\u00e4\r\n" },
        new("offers SIZE of 10 octets", "5.3.4", Usual) { Offers = ["SIZE 10"], Afterwards = "5.3.4" },
        new("offers SIZE beyond all numbers", "ok", Usual) { Offers = ["SIZE 99999999999999999999999"] },
        new("offers SIZE below zero", "ok", Usual) { Offers = ["SIZE -1"] },
        new("takes less than the SIZE it offers", "5.3.4", On("MAIL", new HopAction.Raw("552 5.3.4 Too big\r\n"))),
        new("takes less than the SIZE it offers, which it finds at the end", "5.3.4", On("content", new HopAction.Raw("552 5.3.4 Too big\r\n"))),
        new("does not know the parameters it offers", "5.5.4", On("MAIL", new HopAction.Raw("555 5.5.4 Unknown parameter\r\n"))),

        // Replies that are too many, too few, too early.
        new("replies to MAIL twice", "4", On("MAIL", new HopAction.RawThenUsual("250 2.1.0 Ok\r\n"))) { Copies = null },
        new("replies to one RCPT twice", "4", OnLine("RCPT TO:<b@", new HopAction.RawThenUsual("250 2.1.5 Ok\r\n"))) { Copies = null },
        new("replies to MAIL twice and refuses the content", "4", e => At(e, "MAIL", OneMore) ?? At(e, "content", new HopAction.Raw("554 5.7.1 Spam\r\n"))),
        new("replies to one RCPT twice and refuses the content", "4", e => At(e, "RCPT TO:<b@", OneMore) ?? At(e, "content", new HopAction.Raw("452 4.3.1 Full\r\n"))),
        new("replies to MAIL twice and refuses the first recipient", "4", e => At(e, "MAIL", OneMore) ?? Rcpt(e, 'a', "550 5.1.1 No")) { Copies = null },
        new("replies to MAIL twice and refuses the last recipient", "4", e => At(e, "MAIL", OneMore) ?? Rcpt(e, 'c', "550 5.1.1 No")) { Copies = null },
        new("refuses one recipient twice", "4", e => Rcpt(e, 'a', "550 5.1.1 No\r\n550 5.1.1 No")) { Copies = null },
        new("does not reply to one RCPT", "4", OnLine("RCPT TO:<b@", new HopAction.Raw(""))) { Modes = HopMode.Plain | HopMode.Chunked, Waits = true, Copies = null },
        new("does not reply to one RCPT, which shows at the 354", "4.5.0", OnLine("RCPT TO:<b@", new HopAction.Raw(""))) { Modes = Grouped },
        new("does not reply to one RCPT and refuses the next", "4", e => Rcpt(e, 'c', "550 5.1.1 No") ?? At(e, "RCPT TO:<b@", new HopAction.Raw(""))) { Modes = HopMode.Plain | HopMode.Chunked, Waits = true, Copies = null },
        new("does not reply to one RCPT and refuses the next, which shows at the 354", "4.5.0", e => Rcpt(e, 'c', "550 5.1.1 No") ?? At(e, "RCPT TO:<b@", new HopAction.Raw(""))) { Modes = Grouped },
        new("replies before the content came", "4.5.0", On("DATA", new HopAction.Raw("354 go on\r\n250 2.0.0 Already yours\r\n"))) { Modes = HopMode.Plain | HopMode.Pipelined, Copies = null },
        new("refuses a large message before its end and stops reading", "4.5.0", On("DATA", new HopAction.RawThenStop("354 go on\r\n552 5.3.4 Too big\r\n"))) { Modes = HopMode.Plain | HopMode.Pipelined, Body = Large(3_000_000) },
        new("replies to the content twice", "ok", On("content", new HopAction.RawThenUsual("250 2.0.0 One too many\r\n"))),
        new("replies to the content once more with 554", "ok", On("content", new HopAction.Raw("250 2.0.0 Ok\r\n554 5.7.1 Or not\r\n"))) { Modes = HopMode.WithData },
        new("replies to the content once more with 554, in one flight", "4.5.0", On("content", new HopAction.Raw("250 2.0.0 Ok\r\n554 5.7.1 Or not\r\n"))) { Modes = HopMode.Chunked, Copies = 1 },
        new("takes the message and says 421", "ok", On("content", new HopAction.Raw("250 2.0.0 Ok\r\n421 4.4.2 Idle too long\r\n"))) { Modes = HopMode.WithData },
        new("takes the message and says 421, in one flight", "4.5.0", On("content", new HopAction.Raw("250 2.0.0 Ok\r\n421 4.4.2 Idle too long\r\n"))) { Modes = HopMode.Chunked, Copies = 1 },
        new("takes the message and closes", "ok", On("content", new HopAction.UsualThen(new HopAction.Close()))),
        new("takes the message and resets", "ok", On("content", new HopAction.UsualThen(new HopAction.Reset()))),
        new("takes the message and ends its input", "ok", On("content", new HopAction.UsualThen(new HopAction.HalfClose("")))),
        new("takes the message and is silent after QUIT", "ok", On("QUIT", new HopAction.Stall())),
        new("resets after QUIT", "ok", On("QUIT", new HopAction.Reset())),
        new("sends garbage after QUIT", "ok", On("QUIT", new HopAction.Endless("what?\r\n"))),
        new("is one reply behind and refuses DATA for now", "4", OneBehind()) { Modes = HopMode.WithData },
        new("does not know RSET", "5.1.1", e => e.Verb switch { "RCPT" => new HopAction.Raw("550 5.1.1 No\r\n"), "RSET" => new HopAction.Raw("502 5.5.1 What?\r\n"), _ => null }),

        // Recipients.
        new("refuses recipients with different codes", "5.1.1 ok 4.2.2", e => Rcpt(e, 'a', "550 5.1.1 No such user") ?? Rcpt(e, 'c', "452-4.2.2 Over\r\n452 4.2.2 quota")) { Copies = null },
        new("refuses all recipients and wants the content", "5.1.1", e => e.Verb switch { "RCPT" => new HopAction.Raw("550 5.1.1 No\r\n"), "DATA" => new HopAction.Raw("354 Go on\r\n"), _ => null }),
        new("refuses all recipients and takes the content", "5.1.1", e => e.Verb switch { "RCPT" => new HopAction.Raw("550 5.1.1 No\r\n"), "DATA" => new HopAction.Raw("354 Go on\r\n"), "BDAT" => new HopAction.Raw("250 2.0.0 Taken\r\n"), _ => null }),
        new("takes two recipients at once", "ok", TwoAtOnce()) { Copies = 2 },
        new("takes one recipient at once and says so by 552", "ok", OneAtOnceBy552()) { Copies = 3 },
        new("takes no recipient and says that they are too many, by 552", "4.5.3", e => e.Verb == "RCPT" ? new HopAction.Raw("552 5.5.3 Too many recipients\r\n") : null),
        new("refuses MAIL and takes recipients", "5.7.1", On("MAIL", new HopAction.Raw("550 5.7.1 Not you\r\n"))),
        new("refuses MAIL and closes", "5.7.1", On("MAIL", new HopAction.RawThenClose("550 5.7.1 Not you\r\n"))),
        new("says 421 in the midst of recipients", "5.1.1 4.3.2 4.3.2", e => Rcpt(e, 'a', "550 5.1.1 No") ?? Rcpt(e, 'b', "421 4.3.2 Going down\r\n", close: true)),
        new("says 421 right after it refused a recipient", "5.1.1 4.3.2 4.3.2", e => Rcpt(e, 'a', "550 5.1.1 No\r\n421 4.3.2 Going down\r\n", close: true)),
        new("refuses all recipients and says 421", "5.1.1", e => e.Verb switch { "RCPT" => new HopAction.Raw("550 5.1.1 No\r\n"), "DATA" => new HopAction.RawThenClose("503 5.5.1 RCPT first\r\n421 4.3.2 Going down\r\n"), _ => null }) { Modes = Grouped },
        new("closes in the midst of recipients", "5.1.1 4.4.2 4.4.2", e => Rcpt(e, 'a', "550 5.1.1 No") ?? Rcpt(e, 'b', "", close: true)),
        new("says 251 and 252 to recipients", "ok", e => Rcpt(e, 'a', "251 Will forward") ?? Rcpt(e, 'b', "252 Cannot verify")),
        new("refuses DATA although it took recipients", "5.7.1", On("DATA", new HopAction.Raw("554 5.7.1 No valid recipients\r\n"))) { Modes = HopMode.WithData },
        new("refuses DATA although it took recipients and says 421", "5.7.1", On("DATA", new HopAction.RawThenClose("554 5.7.1 Refused\r\n421 4.3.2 Going down\r\n"))) { Modes = HopMode.WithData },
        new("refuses DATA although it took recipients and says 421 to what comes next", "5.7.1", e => e.Verb switch { "DATA" => new HopAction.Raw("554 5.7.1 Refused\r\n"), "RSET" => new HopAction.RawThenClose("421 4.7.0 Too many errors\r\n"), _ => null }) { Modes = HopMode.WithData },
        new("refuses DATA although it took recipients and closes on what comes next", "5.7.1", e => e.Verb switch { "DATA" => new HopAction.Raw("554 5.7.1 Refused\r\n"), "RSET" => new HopAction.Close(), _ => null }) { Modes = HopMode.WithData },
        new("takes the content and refuses it in many lines", "5.7.1", On("content", new HopAction.Raw(string.Concat(Enumerable.Repeat("550-5.7.1 \u001b[31m\u0085 spam\t\r\n", 50)) + "550 5.7.1 end\r\n"))),
        new("refuses the content and closes", "5.7.1", On("content", new HopAction.RawThenClose("554 5.7.1 Spam\r\n"))),
        new("is full at the end of the content", "4.3.1", On("content", new HopAction.Raw("452 4.3.1 Full\r\n"))),
        new("replies in 1900 octets to each of 100 recipients", "ok", e => e.Verb == "RCPT" ? new HopAction.Raw("250 2.1.5 " + new string('x', 1900) + "\r\n") : null)
            { Recipients = [.. Enumerable.Range(0, 100).Select(i => $"r{i}@dest.test")] },

        // Packets.
        new("sends every octet in a packet of its own", "ok", Usual) { OctetByOctet = true },
        new("reads slowly, with a small window", "ok", Usual) { ReadOctets = 4096, Body = Large(100_000) },
        new("stops reading the content", "4.4.2", On("DATA", new HopAction.RawThenStop("354 go on\r\n"))) { Modes = HopMode.WithData, Waits = true, Body = Large(20_000_000) },

        // TLS.
        new("refuses STARTTLS by 454", "ok", On("STARTTLS", new HopAction.Raw("454 4.7.0 Not now\r\n"))) { Modes = HopMode.Tls },
        new("refuses STARTTLS by 502", "ok", On("STARTTLS", new HopAction.Raw("502 5.5.1 What?\r\n"))) { Modes = HopMode.Tls },
        new("injects replies behind the 220 to STARTTLS", "ok", On("STARTTLS", new HopAction.RawThenUsual("250 injected\r\n250-mx\r\n250 CHUNKING\r\n"))) { Modes = HopMode.Tls },
        new("speaks no TLS after its 220", "ok", On("STARTTLS", new HopAction.FailHandshake())) { Modes = HopMode.Tls },
        new("closes after its 220 to STARTTLS", "ok", On("STARTTLS", new HopAction.RawThenClose("220 2.0.0 Go on\r\n"))) { Modes = HopMode.Tls },
        new("resets after its 220 to STARTTLS", "ok", On("STARTTLS", new HopAction.RawThenReset("220 2.0.0 Go on\r\n"))) { Modes = HopMode.Tls },
        new("sends garbage without end in place of the handshake", "ok", On("STARTTLS", new HopAction.Endless("220 2.0.0 Go on\r\n"))) { Modes = HopMode.Tls },
        new("closes on STARTTLS", "ok", On("STARTTLS", new HopAction.Close())) { Modes = HopMode.Tls },
        new("resets on STARTTLS", "ok", On("STARTTLS", new HopAction.Reset())) { Modes = HopMode.Tls },
        new("is silent on STARTTLS", "ok", On("STARTTLS", new HopAction.Stall())) { Modes = HopMode.Tls, Waits = true },
        new("begins a reply to STARTTLS and stops", "ok", On("STARTTLS", new HopAction.RawThenStop("22"))) { Modes = HopMode.Tls, Waits = true },
        new("answers STARTTLS with garbage", "ok", On("STARTTLS", new HopAction.Raw("what?\r\n"))) { Modes = HopMode.Tls },
        new("speaks no TLS after its 220 and demands it at MAIL", "4.7.10", e => e.Verb switch { "STARTTLS" => new HopAction.FailHandshake(), "MAIL" => NoTls, _ => null }) { Modes = HopMode.Tls },
        new("refuses STARTTLS by 454 and demands TLS at MAIL", "4.7.10", e => e.Verb switch { "STARTTLS" => new HopAction.Raw("454 4.7.0 Not now\r\n"), "MAIL" => NoTls, _ => null }) { Modes = HopMode.Tls },
        new("speaks no TLS after its 220 and demands it of one recipient", "ok 4.7.10 ok", e => e.Verb == "STARTTLS" ? new HopAction.FailHandshake() : Rcpt(e, 'b', "550 5.7.10 Encryption needed")) { Modes = HopMode.Tls },
        new("demands TLS and does not offer it", "5.7.10", On("MAIL", NoTls)) { Modes = HopMode.WithData & ~HopMode.Tls },
        new("knows no EHLO inside TLS", "ok", e => e is { Verb: "EHLO", Tls: true } ? new HopAction.Raw("502 5.5.1 What?\r\n") : null) { Modes = HopMode.Tls },
        new("sends plain text beneath TLS at MAIL", "4", On("MAIL", new HopAction.Beneath("250 2.1.0 Ok\r\n"))) { Modes = HopMode.Tls },
        new("sends plain text beneath TLS at the end", "4", On("content", new HopAction.Beneath("250 2.0.0 Ok\r\n"))) { Modes = HopMode.Tls },
    ];

    private static HopAction? Usual(HopEvent e) => null;

    private static Func<HopEvent, HopAction?> On(string verb, HopAction action) => e => e.Verb == verb ? action : null;

    private static Func<HopEvent, HopAction?> OnLine(string start, HopAction action) => e => e.Line.StartsWith(start, StringComparison.Ordinal) ? action : null;

    private static HopAction? Rcpt(HopEvent e, char recipient, string reply, bool close = false) =>
        !e.Line.StartsWith($"RCPT TO:<{recipient}@", StringComparison.Ordinal) ? null : close ? new HopAction.RawThenClose(reply) : new HopAction.Raw(reply + "\r\n");

    private static HopAction? At(HopEvent e, string start, HopAction action) => e.Verb == start || e.Line.StartsWith(start, StringComparison.Ordinal) ? action : null;

    private static Func<HopEvent, HopAction?> TwoAtOnce()
    {
        int inTransaction = 0;
        return e =>
        {
            inTransaction = e.Verb == "MAIL" ? 0 : inTransaction;
            return e.Verb == "RCPT" && ++inTransaction > 2 ? new HopAction.Raw("452 4.5.3 Too many recipients\r\n") : null;
        };
    }

    /// <summary>A second reply to MAIL, which comes late: from then on each command gets the reply to the one before it.</summary>
    private static Func<HopEvent, HopAction?> OneBehind()
    {
        int inTransaction = 0;
        return e =>
        {
            inTransaction = e.Verb == "MAIL" ? 0 : inTransaction;
            return e.Verb switch
            {
                "RCPT" => new HopAction.Raw(++inTransaction == 1 ? "250 2.1.0 Ok\r\n" : "550 5.1.1 No such user\r\n"),
                "DATA" => new HopAction.Raw("450 4.2.0 Greylisted\r\n"),
                "RSET" => new HopAction.Raw("503 5.5.1 RCPT first\r\n"),
                _ => null,
            };
        };
    }

    private static Func<HopEvent, HopAction?> OneAtOnceBy552()
    {
        int inTransaction = 0;
        return e =>
        {
            inTransaction = e.Verb == "MAIL" ? 0 : inTransaction;
            return e.Verb == "RCPT" && ++inTransaction > 1 ? new HopAction.Raw("552 5.5.3 Too many recipients\r\n") : null;
        };
    }

    private static string Large(int octets) => string.Concat(Enumerable.Repeat(new string('x', 98) + "\r\n", octets / 100));
}
