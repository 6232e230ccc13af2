// Runs the SDK of Go against /mcp, and prints what it got as JSON. client URL LEAD, with the key in KEY.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

type withKey struct{}

func (withKey) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.Clone(request.Context())
	request.Header.Set("Authorization", "Bearer "+os.Getenv("KEY"))
	return http.DefaultTransport.RoundTrip(request)
}

func called(session *mcp.ClientSession, name string, given map[string]any) []any {
	result, err := session.CallTool(context.Background(), &mcp.CallToolParams{Name: name, Arguments: given})
	if err != nil {
		return []any{"error", err.Error()}
	}
	return []any{result.IsError, result.Content[0].(*mcp.TextContent).Text}
}

func main() {
	client := mcp.NewClient(&mcp.Implementation{Name: "leadhook-receivers", Version: "1"}, nil)
	transport := &mcp.StreamableClientTransport{Endpoint: os.Args[1], HTTPClient: &http.Client{Transport: withKey{}}}
	session, err := client.Connect(context.Background(), transport, nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	tools := []string{}
	for tool, err := range session.Tools(context.Background(), nil) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		tools = append(tools, tool.Name)
	}
	found := map[string]any{
		"way":       "go-sdk",
		"tools":     tools,
		"explained": called(session, "explain_failure", map[string]any{"id": os.Args[2]}),
		"wrong":     called(session, "list_leads", map[string]any{"colour": "red"}),
		"unknown":   called(session, "nothing", map[string]any{}),
		"retried":   called(session, "retry_lead", map[string]any{"id": os.Args[2]}),
	}
	session.Close()
	line, _ := json.Marshal(found)
	fmt.Println(string(line))
}
