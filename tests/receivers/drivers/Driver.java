// For each id, timestamp, signatures and file with a body: yes or no. `sample` is Library.java, `svix` the other library.
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

import static java.nio.charset.StandardCharsets.UTF_8;

public class Driver {
    public static void main(String[] given) throws Exception {
        for (int at = 2; at < given.length; at += 4) {
            var headers = Map.of(
                "Webhook-Id", List.of(given[at]),
                "Webhook-Timestamp", List.of(given[at + 1]),
                "Webhook-Signature", List.of(given[at + 2]));
            byte[] body = Files.readAllBytes(Path.of(given[at + 3]));
            System.out.println(takes(given[0], given[1], body, headers) ? "yes" : "no");
        }
    }

    static boolean takes(String library, String token, byte[] body, Map<String, List<String>> headers) throws Exception {
        try {
            if (library.equals("sample")) {
                new Library(token).jsonOf(body, headers);
            } else {
                new com.svix.Webhook(token).verify(new String(body, UTF_8), headers);
            }
            return true;
        } catch (com.standardwebhooks.exceptions.WebhookVerificationException
                | com.svix.exceptions.WebhookVerificationException refused) {
            return false;
        }
    }
}
