-- Remember who has the mail. $1 message id, $2 n of the delivery, $3 positions in its list of recipients
insert into postroom.email_accepted (message_id, n, recipient)
select $1, $2, unnest($3::smallint[])
on conflict do nothing
