<?php
// Receives and verifies webhooks (Standard Webhooks 1.0). php -S 127.0.0.1:9000 receive.php

const TOLERANCE_S = 300;

/** Whether the body is from the sender, unchanged, and young enough. */
function verified(string $body, string $key): bool
{
    $id = $_SERVER['HTTP_WEBHOOK_ID'] ?? '';
    $timestamp = $_SERVER['HTTP_WEBHOOK_TIMESTAMP'] ?? '';
    if (!ctype_digit($timestamp) || abs(time() - (int) $timestamp) > TOLERANCE_S) {
        return false;
    }
    $mac = hash_hmac('sha256', "$id.$timestamp.$body", $key, true);
    $expected = 'v1,' . base64_encode($mac);
    // Several signatures while a secret is rotated.
    foreach (explode(' ', $_SERVER['HTTP_WEBHOOK_SIGNATURE'] ?? '') as $given) {
        if (hash_equals($expected, $given)) {
            return true;
        }
    }
    return false;
}

$key = base64_decode(preg_replace('/^whsec_/', '', getenv('WEBHOOK_SECRET')));
$body = file_get_contents('php://input'); // the raw bytes, unparsed
if (!verified($body, $key)) {
    http_response_code(401);
    return;
}
// In your application: a table with a unique key on the id.
$seen = @fopen(sys_get_temp_dir() . '/webhook-' . sha1($_SERVER['HTTP_WEBHOOK_ID']), 'x');
if ($seen !== false) {
    $event = json_decode($body, true);
    file_put_contents('php://stdout', "received {$event['type']} " . json_encode($event['data']) . "\n");
}
http_response_code(204);
