-- A worker hears nothing any more, whatever it sleeps on. $1 worker
delete from postroom.sleeper where worker = $1
