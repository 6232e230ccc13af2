// For each id, timestamp, signatures and file with a body: yes or no. `sample` is library.go, `svix` the other library.
package main

import (
	"fmt"
	"net/http"
	"os"

	svix "github.com/svix/svix-webhooks/go"
)

func main() {
	library, token, given := os.Args[1], os.Args[2], os.Args[3:]
	for ; len(given) > 0; given = given[4:] {
		headers := http.Header{"Webhook-Id": {given[0]}, "Webhook-Timestamp": {given[1]}, "Webhook-Signature": {given[2]}}
		body, err := os.ReadFile(given[3])
		if library == "sample" && err == nil {
			_, err = leadOf(token, body, headers)
		} else if err == nil {
			var webhook *svix.Webhook
			if webhook, err = svix.NewWebhook(token); err == nil {
				err = webhook.Verify(body, headers)
			}
		}
		if err == nil {
			fmt.Println("yes")
		} else {
			fmt.Println("no")
		}
	}
}
