# Receives and verifies webhooks (Standard Webhooks 1.0). rackup --port 9000 receive.ru
require "json"
require "openssl"

KEY = ENV.fetch("WEBHOOK_SECRET").delete_prefix("whsec_").unpack1("m")
TOLERANCE_S = 300
$stdout.sync = true
SEEN = {} # in your application: a table with a unique key on the id

# Whether the body is from the sender, unchanged, and young enough.
def verified?(env, body)
  id, timestamp = env["HTTP_WEBHOOK_ID"].to_s, env["HTTP_WEBHOOK_TIMESTAMP"].to_s
  return false unless timestamp.match?(/\A\d+\z/) && (Time.now.to_i - timestamp.to_i).abs <= TOLERANCE_S

  mac = OpenSSL::HMAC.digest("SHA256", KEY, "#{id}.#{timestamp}.".b + body)
  expected = "v1," + [mac].pack("m0")
  # Several signatures while a secret is rotated.
  env["HTTP_WEBHOOK_SIGNATURE"].to_s.split(" ").any? { |given| OpenSSL.secure_compare(given, expected) }
end

run lambda { |env|
  body = env["rack.input"].read.b # the raw bytes, unparsed
  next [401, {}, []] unless verified?(env, body)

  unless SEEN[env["HTTP_WEBHOOK_ID"]]
    event = JSON.parse(body)
    puts "received #{event["type"]} #{event["data"].to_json}"
    SEEN[env["HTTP_WEBHOOK_ID"]] = true
  end
  [204, {}, []]
}
