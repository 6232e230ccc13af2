// go get github.com/standard-webhooks/standard-webhooks/libraries
package main

import (
	"encoding/json"
	"errors"
	"net/http"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

type lead struct {
	ID     string         `json:"id"`
	Fields map[string]any `json:"fields"`
}

// leadOf returns the lead of a request, given the Shared Token, the raw body and the headers of the request.
// An error means that Leadhook did not send it just now: answer 401.
func leadOf(token string, body []byte, headers http.Header) (lead, error) {
	var event struct{ Data struct{ Lead lead } }
	if len(token) < 38 { // the library takes an empty token, and then everyone could sign
		return lead{}, errors.New("LEADHOOK_SHARED_TOKEN is not set to the Shared Token")
	}
	webhook, err := standardwebhooks.NewWebhook(token)
	if err != nil {
		return lead{}, err
	}
	if err := webhook.Verify(body, headers); err != nil {
		return lead{}, err
	}
	err = json.Unmarshal(body, &event)
	return event.Data.Lead, err
}
