using System.Net.Sockets;

namespace RelayGate.Sendmail;

/// <summary>-bs: SMTP on standard input and output, octet for octet as the gateway speaks it.</summary>
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
            while ((read = input.Read(buffer, 0, buffer.Length)) > 0)
            {
                for (ReadOnlySpan<byte> rest = buffer.AsSpan(0, read); !rest.IsEmpty;)
                    rest = rest[socket.Send(rest)..];
            }
            socket.Shutdown(SocketShutdown.Send);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or IOException)
        {
            // The other direction sees the end of the connection and ends the program.
        }
    }
}
