-- Sent as a plain query, it ends the statement before it, which otherwise keeps its snapshot until the transaction ends.
select
