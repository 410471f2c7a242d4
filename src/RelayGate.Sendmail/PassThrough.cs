using System.Net.Sockets;

namespace RelayGate.Sendmail;

/// <summary>-bs: SMTP on standard input and output, octet for octet as the gateway speaks it.</summary>
/// <remarks>A client whose first line ends with a bare LF writes Unix text all along: then every LF without CR becomes CRLF, as sendmail takes it.</remarks>
internal static class PassThrough
{
    public static int Run(string path, Stream input, Stream output)
    {
        GatewayConnection connection;
        try
        {
            connection = GatewayConnection.Open(path, isVerbose: false);
        }
        catch (SendmailException e)
        {
            output.Write("421 4.3.2 Mail gateway is not reachable, try again later\r\n"u8); // A client waits for a greeting.
            output.Flush();
            throw new SendmailException(e.ExitCode, e.Message);
        }
        using (connection)
        {
            Socket socket = connection.Socket;
            socket.SendTimeout = 0;
            var upstream = new Thread(() => CopyInput(input, socket), maxStackSize: 256 * 1024) { IsBackground = true };
            upstream.Start();
            byte[] buffer = new byte[16 * 1024];
            try
            {
                int received;
                while ((received = socket.Receive(buffer)) > 0)
                {
                    output.Write(buffer, 0, received);
                    output.Flush();
                }
            }
            catch (SocketException)
            {
                throw new SendmailException(ExitCode.TemporaryFailure, "lost the connection to the gateway");
            }
            return ExitCode.Ok;
        }
    }

    private static void CopyInput(Stream input, Socket socket)
    {
        byte[] buffer = new byte[16 * 1024];
        try
        {
            int read;
            bool? writesUnixText = null;
            byte last = 0;
            while ((read = input.Read(buffer, 0, buffer.Length)) > 0)
            {
                ReadOnlySpan<byte> rest = buffer.AsSpan(0, read);
                while (!rest.IsEmpty)
                {
                    int end = writesUnixText == false ? -1 : rest.IndexOf((byte)'\n');
                    if (end >= 0)
                    {
                        bool isBare = (end > 0 ? rest[end - 1] : last) != '\r';
                        writesUnixText ??= isBare;
                        if (isBare)
                        {
                            SendAll(socket, rest[..end]);
                            SendAll(socket, "\r\n"u8);
                            rest = rest[(end + 1)..];
                            last = (byte)'\n';
                            continue;
                        }
                    }
                    ReadOnlySpan<byte> whole = end < 0 ? rest : rest[..(end + 1)];
                    SendAll(socket, whole);
                    last = whole[^1];
                    rest = rest[whole.Length..];
                }
            }
            socket.Shutdown(SocketShutdown.Send);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or IOException)
        {
            // The other direction sees the end of the connection and ends the program.
        }
    }

    private static void SendAll(Socket socket, ReadOnlySpan<byte> octets)
    {
        while (!octets.IsEmpty)
            octets = octets[socket.Send(octets)..];
    }
}
