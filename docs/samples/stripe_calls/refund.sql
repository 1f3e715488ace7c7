begin;

update shop_order set state = 'refunded' where id = 42 and state = 'paid';

select postroom.publish(
    channel => 'stripe_api',
    payload => '{"method": "POST", "path": "/v1/refunds", "params": {"charge": "ch_1", "amount": 500}}',
    key     => 'refund:42');

commit;
