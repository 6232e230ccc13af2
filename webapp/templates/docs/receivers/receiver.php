<?php
// A complete receiver for Leadhook webhooks. PHP 8, no packages.
// A web server serves it as it does any other page. To try it:
//
//     LEADHOOK_SHARED_TOKEN=whsec_… php -S 127.0.0.1:9000 receiver.php

declare(strict_types=1);

const TOLERANCE = 5 * 60; // seconds that a timestamp may be off
const MAX_BODY = 1024 * 1024; // bytes
const REMEMBERED = 10_000; // webhook-ids; a database would have a unique column

/** A request that is not to be believed: the code and the words of the answer. */
final class Refused extends Exception
{
}

function keyOf(string $token): string
{
    $key = str_starts_with($token, 'whsec_') ? base64_decode(substr($token, 6), true) : false;
    if ($key === false || strlen($key) < 24) { // an empty key would let everyone sign
        throw new Refused('LEADHOOK_SHARED_TOKEN is not set to the Shared Token', 500);
    }
    return $key;
}

/** Returns if Leadhook sent this body just now, else throws Refused. */
function verify(string $key, string $id, string $timestamp, string $signatures, string $body): void
{
    if ($id === '' || $timestamp === '' || $signatures === '') {
        throw new Refused('webhook-id, webhook-timestamp and webhook-signature are needed', 400);
    }
    if (!ctype_digit($timestamp)) {
        throw new Refused('webhook-timestamp is not a number of seconds', 400);
    }
    if (abs(time() - (int) $timestamp) > TOLERANCE) {
        throw new Refused('webhook-timestamp is more than 5 minutes off', 401);
    }
    $signed = "$id.$timestamp.$body"; // the raw body, before any parser
    $expected = 'v1,' . base64_encode(hash_hmac('sha256', $signed, $key, true));
    foreach (explode(' ', $signatures) as $given) {
        if (hash_equals($expected, $given)) {
            return; // two signatures come while a token is being rotated; one must fit
        }
    }
    throw new Refused('the signature does not fit', 401);
}

/** Where your work begins: store the lead, answer, and do what is slow afterwards. */
function keep(array $event): void
{
    $lead = $event['data']['lead'];
    $line = "Received {$event['type']} {$lead['id']} " . json_encode($lead['fields']) . "\n";
    file_put_contents('php://stdout', $line);
}

/**
 * Keeps what is new. A repeat is a success, too: we have it.
 * PHP forgets between requests, so a file remembers.
 */
function once(string $id, string $body): string
{
    $file = fopen(getenv('LEADHOOK_SEEN_FILE') ?: sys_get_temp_dir() . '/leadhook-seen', 'c+');
    flock($file, LOCK_EX);
    $seen = explode("\n", stream_get_contents($file));
    if (in_array($id, $seen, true)) {
        return 'already received';
    }
    keep(json_decode($body, true, flags: JSON_THROW_ON_ERROR));
    $seen[] = $id; // only now: had keeping failed, the retry would be needed
    ftruncate($file, 0);
    rewind($file);
    fwrite($file, implode("\n", array_slice($seen, -REMEMBERED)));
    return 'received';
}

function receive(): string
{
    if ($_SERVER['REQUEST_METHOD'] !== 'POST') {
        throw new Refused('leads come by POST', 405);
    }
    $key = keyOf((string) getenv('LEADHOOK_SHARED_TOKEN'));
    $body = file_get_contents('php://input', false, null, 0, MAX_BODY + 1);
    if (strlen($body) > MAX_BODY) {
        throw new Refused('the body is too long', 413);
    }
    $id = $_SERVER['HTTP_WEBHOOK_ID'] ?? '';
    $timestamp = $_SERVER['HTTP_WEBHOOK_TIMESTAMP'] ?? '';
    verify($key, $id, $timestamp, $_SERVER['HTTP_WEBHOOK_SIGNATURE'] ?? '', $body);
    return once($id, $body);
}

header('Content-Type: text/plain; charset=utf-8');
try {
    echo receive();
} catch (Refused $refused) {
    http_response_code($refused->getCode());
    echo $refused->getMessage();
}
