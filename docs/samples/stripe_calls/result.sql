select c.answered_at, c.status, c.request_id, c.object_type, c.object_id, d.code, d.reason
from postroom.message_view m
left join postroom.stripe_call c on c.message_id = m.id
left join postroom.dead_letter d on d.message_id = m.id
where m.channel = 'stripe_api' and m.key = 'refund:42';
