// A complete receiver for Leadhook webhooks. Go 1.18 or newer, no packages.
//
//	LEADHOOK_SHARED_TOKEN=whsec_… go run receiver.go 9000
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	tolerance  = 5 * 60      // seconds that a timestamp may be off
	maxBody    = 1024 * 1024 // bytes
	remembered = 10_000      // webhook-ids; a database would have a unique column
)

// refused is a request that is not to be believed: the code and the words of the answer.
type refused struct {
	code  int
	words string
}

func (r refused) Error() string { return r.words }

func keyOf(token string) []byte {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(token, "whsec_"))
	if !strings.HasPrefix(token, "whsec_") || err != nil || len(key) < 24 { // an empty key would let everyone sign
		log.Fatal("Set LEADHOOK_SHARED_TOKEN to the Shared Token: whsec_ and what follows it.")
	}
	return key
}

// verify returns nil if Leadhook sent this body just now, else refused.
func verify(key []byte, id, timestamp, signatures string, body []byte) error {
	if id == "" || timestamp == "" || signatures == "" {
		return refused{400, "webhook-id, webhook-timestamp and webhook-signature are needed"}
	}
	seconds, err := strconv.ParseUint(timestamp, 10, 40)
	if err != nil {
		return refused{400, "webhook-timestamp is not a number of seconds"}
	}
	if off := time.Now().Unix() - int64(seconds); off > tolerance || off < -tolerance {
		return refused{401, "webhook-timestamp is more than 5 minutes off"}
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, body) // the raw body, before any parser
	expected := []byte("v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	for _, given := range strings.Split(signatures, " ") {
		if hmac.Equal([]byte(given), expected) {
			return nil // two signatures come while a token is being rotated; one must fit
		}
	}
	return refused{401, "the signature does not fit"}
}

type event struct {
	Type string
	Data struct {
		Lead struct {
			ID     string
			Fields json.RawMessage
		}
	}
}

// keep is where your work begins: store the lead, answer, and do what is slow afterwards.
func keep(body []byte) error {
	var e event
	if err := json.Unmarshal(body, &e); err != nil {
		return err
	}
	fmt.Printf("Received %s %s %s\n", e.Type, e.Data.Lead.ID, e.Data.Lead.Fields)
	return nil
}

var (
	lock  sync.Mutex
	seen  = map[string]bool{}
	order []string
)

// once keeps what is new. A repeat is a success, too: we have it.
func once(id string, body []byte) (string, error) {
	lock.Lock()
	defer lock.Unlock()
	if seen[id] {
		return "already received", nil
	}
	if err := keep(body); err != nil {
		return "", err
	}
	seen[id] = true // only now: had keeping failed, the retry would be needed
	order = append(order, id)
	if len(order) > remembered {
		delete(seen, order[0])
		order = order[1:]
	}
	return "received", nil
}

func receive(key []byte, w http.ResponseWriter, r *http.Request) (string, error) {
	if r.Method != http.MethodPost {
		return "", refused{405, "leads come by POST"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return "", refused{413, "the body is too long, or ended early"}
	}
	id, signatures := r.Header.Get("webhook-id"), r.Header.Get("webhook-signature")
	if err := verify(key, id, r.Header.Get("webhook-timestamp"), signatures, body); err != nil {
		return "", err
	}
	return once(id, body)
}

func main() {
	key, port := keyOf(os.Getenv("LEADHOOK_SHARED_TOKEN")), "9000"
	if len(os.Args) > 1 {
		port = os.Args[1]
	}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		words, err := receive(key, w, r)
		code, why := http.StatusOK, refused{}
		if errors.As(err, &why) {
			code, words = why.code, why.words
		} else if err != nil {
			log.Print("Not kept: ", err)
			code, words = http.StatusInternalServerError, "not kept, please send it again"
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(code)
		fmt.Fprint(w, words)
	})
	server := &http.Server{Addr: "127.0.0.1:" + port, ReadTimeout: 20 * time.Second}
	fmt.Println("Listening on http://" + server.Addr)
	log.Fatal(server.ListenAndServe())
}
