#!/bin/sh
# The command of the hook in webhook-daemon-hooks.json: hands the request to receiver.sh, which is in the same folder, as
# a web server hands it to a CGI script. It ends with 0 if the lead was received; else the daemon answers 500. What keep()
# prints goes to leads.log: the daemon would put it into its answer, and Leadhook would show it there.
export REQUEST_METHOD=POST
CONTENT_LENGTH=$(wc -c < "$BODY_FILE")
export CONTENT_LENGTH
answer=$(sh ./receiver.sh < "$BODY_FILE" 2>> leads.log)
printf '%s' "$answer" | sed '1,/^.$/d' # without the headers, which end at an empty line
case $answer in 'Status: 200'*) ;; *) exit 1 ;; esac
