-- What Stripe answered to a call that it has done.
-- $1 message id, $2 HTTP status, $3 request id, $4 API version, $5 type and $6 id of the object that was returned
update postroom.stripe_call
set answered_at = now(), status = $2, request_id = $3, api_version = $4, object_type = $5, object_id = $6
where message_id = $1 and answered_at is null
