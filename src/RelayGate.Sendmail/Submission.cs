namespace RelayGate.Sendmail;

/// <summary>Hands one message to the gateway by SMTP and turns its replies into an exit code.</summary>
/// <remarks>
/// A recipient refused for a while (4yz) stops everything before DATA: nothing was taken, the caller tries again. One refused for good while
/// others are accepted is named on standard error and the message goes to the others with exit code 0, as with Postfix, where it would bounce:
/// a failure would make callers send to the good ones twice. "Too many recipients" (452 4.5.3) means another transaction for the rest
/// (RFC 5321 §4.5.3.1.10), over a connection of its own, so that every recipient has its answer before the first DATA; beyond
/// <see cref="MaxOpen"/> transactions that holds for each group of them.
/// </remarks>
/// <param name="connect">Opens a connection with the gateway.</param>
internal sealed class Submission(Func<GatewayConnection> connect, Invocation invocation)
{
    private const int MaxOpen = 8; // Each is a session of the caller's uid, which has others to run.

    /// <summary>Sends, and returns when the gateway has answered 250 for every recipient it did not refuse for good.</summary>
    /// <exception cref="SendmailException">The message was not taken, or not for all.</exception>
    public void Send(OutgoingMessage message, string reversePath, IReadOnlyList<string> recipients)
    {
        int sent = 0;
        for (IReadOnlyList<string> rest = recipients; rest.Count > 0;)
        {
            var transactions = new List<Transaction>();
            try
            {
                while (rest.Count > 0 && transactions.Count < MaxOpen)
                {
                    var transaction = new Transaction(connect(), invocation);
                    transactions.Add(transaction);
                    rest = transaction.Begin(message, reversePath, rest);
                }
                foreach (Transaction transaction in transactions)
                {
                    transaction.SendData(message);
                    sent += transaction.Recipients;
                }
            }
            catch (SendmailException e) when (sent > 0)
            {
                throw new SendmailException(e.ExitCode, $"sent to the first {sent} recipients, but not to the other {recipients.Count - sent}: {e.Message}");
            }
            finally
            {
                transactions.ForEach(static transaction => transaction.Dispose());
            }
        }
    }

    /// <summary>Prints what the gateway says to each recipient, without sending anything.</summary>
    public int Verify(string reversePath, IReadOnlyList<string> recipients, TextWriter output)
    {
        using var transaction = new Transaction(connect(), invocation);
        return transaction.Verify(reversePath, recipients, output);
    }
}
