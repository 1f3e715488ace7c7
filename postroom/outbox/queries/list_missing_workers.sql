-- Workers that may hold deliveries and are not known any more: their claim committed after they were removed, or they
-- left before they had forgotten their last claims.
select distinct b.worker
from postroom.claim_batch b
where not exists (select from postroom.worker w where w.id = b.worker)
