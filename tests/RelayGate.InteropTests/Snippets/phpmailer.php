<?php
require '/usr/share/php/libphp-phpmailer/autoload.php';
$mail = new PHPMailer\PHPMailer\PHPMailer(true);
$mail->isSMTP();
$mail->Host = '127.0.0.1';
$mail->Port = 587;
$mail->SMTPAutoTLS = false;
$mail->SMTPAuth = true;
$mail->Username = 'info@shop.test';
$mail->Password = 'correct horse';
$mail->setFrom('info@shop.test', 'Shop');
$mail->addAddress('ann@example.com');
$mail->Subject = 'Hello from PHPMailer';
$mail->Body = 'It works.';
$mail->send();
