-- A worker leaves; it must hold nothing any more. $1 worker
with awake as (delete from postroom.sleeper where worker = $1)
delete from postroom.worker where id = $1
