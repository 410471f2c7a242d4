printf 'To: ann@example.com\nSubject: Hello from sendmail\n\nIt works.\n' | /usr/local/bin/relaygate-sendmail -t -i
