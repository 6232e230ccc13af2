# A complete receiver for Leadhook webhooks. Ruby 2.7 or newer, in any server for Rack, such as Puma.
#
#     LEADHOOK_SHARED_TOKEN=whsec_... puma -b tcp://127.0.0.1:9000 receiver.ru

require "json"
require "openssl"

TOLERANCE = 5 * 60 # seconds that a timestamp may be off
MAX_BODY = 1024 * 1024 # bytes
REMEMBERED = 10_000 # webhook-ids; a database would have a unique column

# A request that is not to be believed: the code and the words of the answer.
class Refused < StandardError
  attr_reader :code

  def initialize(code, words)
    super(words)
    @code = code
  end
end

def key_of(token)
  base64 = token[/\Awhsec_([A-Za-z0-9+\/]+={0,2})\z/, 1].to_s
  key = base64.unpack1("m")
  if key.bytesize < 24 # an empty key would let everyone sign
    abort "Set LEADHOOK_SHARED_TOKEN to the Shared Token: whsec_ and what follows it."
  end
  key
end

# Returns if Leadhook sent this body just now, else raises Refused.
def verify(key, id, timestamp, signatures, body)
  if [id, timestamp, signatures].any? { |value| value.to_s.empty? }
    raise Refused.new(400, "webhook-id, webhook-timestamp and webhook-signature are needed")
  end
  unless timestamp.match?(/\A[0-9]{1,12}\z/)
    raise Refused.new(400, "webhook-timestamp is not a number of seconds")
  end
  if (Time.now.to_i - timestamp.to_i).abs > TOLERANCE
    raise Refused.new(401, "webhook-timestamp is more than 5 minutes off")
  end
  signed = "#{id}.#{timestamp}.".b + body # the raw body, before any parser
  expected = "v1," + [OpenSSL::HMAC.digest("SHA256", key, signed)].pack("m0")
  # Two signatures come while a token is being rotated; one of them must fit.
  return if signatures.split(" ").any? { |given| OpenSSL.secure_compare(given.b, expected.b) }

  raise Refused.new(401, "the signature does not fit")
end

# Where your work begins: store the lead, answer, and do what is slow afterwards.
def keep(event)
  lead = event["data"]["lead"]
  $stdout.puts "Received #{event["type"]} #{lead["id"]} #{JSON.generate(lead["fields"])}"
  $stdout.flush
end

SEEN = {}
LOCK = Mutex.new

# Keeps what is new. A repeat is a success, too: we have it.
def once(id, body)
  LOCK.synchronize do
    return "already received" if SEEN.key?(id)

    keep(JSON.parse(body.force_encoding("UTF-8")))
    SEEN[id] = true # only now: had keeping failed, the retry would be needed
    SEEN.shift if SEEN.size > REMEMBERED
    "received"
  end
end

def receive(key, env)
  raise Refused.new(405, "leads come by POST") unless env["REQUEST_METHOD"] == "POST"

  body = env["rack.input"].read(MAX_BODY + 1).to_s
  raise Refused.new(413, "the body is too long") if body.bytesize > MAX_BODY

  id = env["HTTP_WEBHOOK_ID"]
  verify(key, id, env["HTTP_WEBHOOK_TIMESTAMP"], env["HTTP_WEBHOOK_SIGNATURE"], body)
  once(id, body)
end

key = key_of(ENV["LEADHOOK_SHARED_TOKEN"].to_s)

run lambda { |env|
  begin
    code, words = 200, receive(key, env)
  rescue Refused => refused
    code, words = refused.code, refused.message
  rescue StandardError => error
    warn "Not kept: #{error.class}"
    code, words = 500, "not kept, please send it again"
  end
  [code, { "content-type" => "text/plain; charset=utf-8" }, [words]]
}
