-- Until the transaction ends, plan each statement for its very values: one that may filter by anything would
-- else get one plan for all, and that walks over every row. And walk along an index where there is one: what
-- is looked for may all lie at the table's other end, which the planner does not know.
select set_config('plan_cache_mode', 'force_custom_plan', true), set_config('enable_seqscan', 'off', true)
