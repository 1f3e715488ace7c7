-- Workers that hold deliveries and are not known any more: their claim committed after they were buried.
select distinct d.worker
from postroom.delivery d
where d.worker is not null and not exists (select from postroom.worker w where w.id = d.worker)
