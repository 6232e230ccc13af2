// A complete receiver for Leadhook webhooks. Java 17 or newer, no packages.
//
//     LEADHOOK_SHARED_TOKEN=whsec_… java Receiver.java 9000

import com.sun.net.httpserver.Headers;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.PrintStream;
import java.net.InetSocketAddress;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Executors;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

import static java.nio.charset.StandardCharsets.UTF_8;

public class Receiver {
    static final long TOLERANCE = 5 * 60; // seconds that a timestamp may be off
    static final int MAX_BODY = 1024 * 1024; // bytes
    static final int REMEMBERED = 10_000; // webhook-ids; a database would have a unique column

    /** A request that is not to be believed: the code and the words of the answer. */
    static class Refused extends Exception {
        final int code;

        Refused(int code, String words) {
            super(words);
            this.code = code;
        }
    }

    static byte[] keyOf(String token) {
        byte[] key = {};
        if (token != null && token.startsWith("whsec_")) {
            try {
                key = Base64.getDecoder().decode(token.substring(6));
            } catch (IllegalArgumentException notBase64) {
                // said below
            }
        }
        if (key.length < 24) { // an empty key would let everyone sign
            System.err.println("Set LEADHOOK_SHARED_TOKEN to the Shared Token: whsec_ and what follows it.");
            System.exit(1);
        }
        return key;
    }

    /** Returns if Leadhook sent this body just now, else throws Refused. */
    static void verify(byte[] key, String id, String timestamp, String signatures, byte[] body)
            throws Refused, GeneralSecurityException {
        if (isEmpty(id) || isEmpty(timestamp) || isEmpty(signatures)) {
            throw new Refused(400, "webhook-id, webhook-timestamp and webhook-signature are needed");
        }
        if (!timestamp.matches("[0-9]{1,12}")) {
            throw new Refused(400, "webhook-timestamp is not a number of seconds");
        }
        if (Math.abs(System.currentTimeMillis() / 1000 - Long.parseLong(timestamp)) > TOLERANCE) {
            throw new Refused(401, "webhook-timestamp is more than 5 minutes off");
        }
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        mac.update((id + "." + timestamp + ".").getBytes(UTF_8));
        byte[] signature = mac.doFinal(body); // the raw body, before any parser
        byte[] expected = ("v1," + Base64.getEncoder().encodeToString(signature)).getBytes(UTF_8);
        for (String given : signatures.split(" ")) {
            if (MessageDigest.isEqual(expected, given.getBytes(UTF_8))) {
                return; // two signatures come while a token is being rotated; one must fit
            }
        }
        throw new Refused(401, "the signature does not fit");
    }

    static boolean isEmpty(String text) {
        return text == null || text.isEmpty();
    }

    /** Where your work begins: parse the JSON, store the lead, answer, and do what is slow afterwards. */
    static void keep(String json) {
        new PrintStream(System.out, true, UTF_8).println("Received " + json);
    }

    static final Map<String, Boolean> seen = new LinkedHashMap<>() {
        @Override
        protected boolean removeEldestEntry(Map.Entry<String, Boolean> eldest) {
            return size() > REMEMBERED;
        }
    };

    /** Keeps what is new. A repeat is a success, too: we have it. */
    static synchronized String once(String id, byte[] body) {
        if (seen.containsKey(id)) {
            return "already received";
        }
        keep(new String(body, UTF_8));
        seen.put(id, true); // only now: had keeping failed, the retry would be needed
        return "received";
    }

    static String receive(byte[] key, HttpExchange exchange) throws Refused, IOException, GeneralSecurityException {
        if (!exchange.getRequestMethod().equals("POST")) {
            throw new Refused(405, "leads come by POST");
        }
        byte[] body = exchange.getRequestBody().readNBytes(MAX_BODY + 1);
        if (body.length > MAX_BODY) {
            throw new Refused(413, "the body is too long");
        }
        Headers headers = exchange.getRequestHeaders();
        String id = headers.getFirst("webhook-id");
        verify(key, id, headers.getFirst("webhook-timestamp"), headers.getFirst("webhook-signature"), body);
        return once(id, body);
    }

    static void answer(byte[] key, HttpExchange exchange) throws IOException {
        int code = 200;
        String words;
        try {
            words = receive(key, exchange);
        } catch (Refused refused) {
            code = refused.code;
            words = refused.getMessage();
        } catch (GeneralSecurityException | RuntimeException error) {
            System.err.println("Not kept: " + error);
            code = 500;
            words = "not kept, please send it again";
        }
        exchange.getResponseHeaders().set("Content-Type", "text/plain; charset=utf-8");
        exchange.sendResponseHeaders(code, words.length());
        exchange.getResponseBody().write(words.getBytes(UTF_8));
        exchange.close();
    }

    public static void main(String[] arguments) throws IOException {
        byte[] key = keyOf(System.getenv("LEADHOOK_SHARED_TOKEN"));
        int port = arguments.length > 0 ? Integer.parseInt(arguments[0]) : 9000;
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
        server.createContext("/", exchange -> answer(key, exchange));
        server.setExecutor(Executors.newFixedThreadPool(8));
        server.start();
        System.out.println("Listening on http://127.0.0.1:" + port);
    }
}
