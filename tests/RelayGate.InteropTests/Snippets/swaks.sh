swaks --server 127.0.0.1:587 --auth PLAIN --auth-user info@shop.test --auth-password 'correct horse' \
  --from info@shop.test --to ann@example.com --header 'Subject: Hello from swaks' --body 'It works.'
