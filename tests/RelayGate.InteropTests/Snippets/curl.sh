printf 'From: info@shop.test\nTo: ann@example.com\nSubject: Hello from curl\n\nIt works.\n' |
  curl --fail --silent --show-error --url smtp://127.0.0.1:587/client.shop.test --user 'info@shop.test:correct horse' \
    --mail-from info@shop.test --mail-rcpt ann@example.com --upload-file -
