"""The rhymes of English line endings: every word that ends a line of the tables, by class.

One row is one class: its words sound alike from their last stressed vowel to their end. Tests compare the table with
a pronunciation dictionary.
"""

from __future__ import annotations

_CLASSES = """
about out throughout
again complain lane rain rein spain train
ago go grow know no row slow
agree be key knee me sea tea three tree
air bear care chair fair hair pear square stair there
alive five hive
all hall shawl wall
alone known own phone saxophone stone tone
applaud broad
are bar far jar star
around sound
aside cried guide inside lied outside pride ride side wide
asleep keep sleep
awake break lake mistake shake take
away day may say stay today way
back black track
bad had
band hand sand withstand
beach reach
beam dream steam stream
beat beet eat feet meet street
bed bread dead head read said
before door floor more
began can pan van
begin chin grin in shin win
behind mind
bite fight flight light might night right sight tonight
blue crew do knew new through too two view you
board roared
boat coat note throat wrote
book cook look took
breed heed
breeze cheese
brim him
bring sing
brings strings
by fly high pie sigh sky why
cage page
came frame name same
cards yards
chalk talk walk
choose news shoes
climb dime rhyme thyme time
close knows
clove stove
cold told
come drum some thumb
comes drums
cool school
could wood
cow now
crease lease peace piece
cup up
damp lamp
days ways
disappear ear hear
done none sun undone
down town
drop stop
face place
fails pails scales tales
feel wheel
feels heels
fella umbrella
fine line mine shine sign
fire wire
flower hour
gate late plate wait
glass pass
hat that
hill still
ice twice
later waiter
leave sleeve
long wrong
loud proud
mean screen seen
met regret wet yet
mile smile while
most toast
much touch
noon tune
pier year
pliers tires
proof roof
rest vest
roll soul
smell tell well
speaks weeks
storm warm
tale whale
"""

RHYMES: dict[str, str] = {word: row.split()[0] for row in _CLASSES.strip().splitlines() for word in row.split()}
"""The class of each word that ends a line, named by its first word."""
