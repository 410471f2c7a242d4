System.Console.WriteLine("relaygate-sendmail");
