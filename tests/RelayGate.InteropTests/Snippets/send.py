import smtplib
from email.message import EmailMessage

message = EmailMessage()
message["From"] = "info@shop.test"
message["To"] = "ann@example.com"
message["Subject"] = "Hello from smtplib"
message.set_content("It works.")
with smtplib.SMTP("127.0.0.1", 587) as server:
    server.login("info@shop.test", "correct horse")
    refused = server.send_message(message)
    if refused:  # some recipients were taken, these were not
        raise SystemExit(f"not sent to {refused}")
