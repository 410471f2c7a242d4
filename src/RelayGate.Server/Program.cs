System.Console.WriteLine("relaygate");
