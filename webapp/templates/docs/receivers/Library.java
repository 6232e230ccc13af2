// Maven: com.standardwebhooks:standardwebhooks
import com.standardwebhooks.Webhook;
import com.standardwebhooks.exceptions.EmptyWebhookSecretException;
import com.standardwebhooks.exceptions.WebhookVerificationException;
import java.util.List;
import java.util.Map;

import static java.nio.charset.StandardCharsets.UTF_8;

public class Library {
    private final Webhook webhook;

    public Library(String sharedToken) throws EmptyWebhookSecretException {
        webhook = new Webhook(sharedToken);
    }

    /**
     * The JSON of a request, given its raw body and its headers.
     * Throws WebhookVerificationException for what Leadhook did not send just now: answer 401.
     */
    public String jsonOf(byte[] body, Map<String, List<String>> headers) throws WebhookVerificationException {
        String json = new String(body, UTF_8);
        webhook.verify(json, headers);
        return json;
    }
}
