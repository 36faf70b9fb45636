"""English couplets that carry the person's own words, and couplets of feeling; they go with any theme.

`{T}` stands where a noun, a sentence or a name can stand alike: as a title, or as something said. It never ends a
line, so that the rhyme does not depend on it.
"""

HOOKS = """
So sing me {T} | till the windows all shake / the neighbours can join | if they're still awake
Somebody said {T} | and the room came alive / like bees when a stranger | looks into the hive
Just whisper {T} | and I'm halfway there / with one shoe untied | and the wind in my hair
They call it {T} | and I call it my own / it hums in my pocket | all the way home alone
Give me {T} | and I'll give you the rest / the change and the ticket, | the coat and the vest
If you say {T}, | I will say it again / the way that the roof | keeps on quoting the rain
It comes down to {T} | when the counting is through / one thing I can carry | and one thing is you
I'd trade for {T}, | the whole of the view / the tower, the river, | the bridge if it's new
Nobody told me {T} | could be louder than drums / I opened the window, | and look how it comes
You can keep all the gold, | I've got {T} in my hand / it's small and it's warm | and it's hard to withstand
And oh, it was {T} | that was keeping the beat / it ran down the stairs | and it ran through the street
Don't ask about {T} | if you can't stay till light / it's not a short story, | it's most of the night
Here's to {T} | and the trouble it brings / it breaks every clock | and it mends broken strings
I'm coming for {T} | with my sleeves rolled up high / I've borrowed a ladder, | I'm off to the sky
Say {T} out loud | and the dark steps aside / it only was waiting | for someone to guide
I'm not made for {T}, | that's what everyone said / so I danced to it slowly | with {toast|hats|books} on my head
"""

OPENINGS = """
I wrote down {T} | at the top of the page / the rest of it sat there | like birds in a cage
They asked about {T} | and I looked at my shoes / there's so much to tell, | it's too hard to choose
I taught it to my {dog|cat} | and he wags when I say / the words of {T} | at the end of the day
It started with {T} | and a cup going cold / it's not a great story | but that's how it's told
I saw it in chalk | on the side of a van / it said {T} in capitals, | that's how it began
My grandmother hummed it | when peeling a pear / a song about {T} | with a crumb in her hair
I looked up {T} | in a book by the bed / the page had been folded | and somebody'd read
You mentioned {T} | like you'd mention the time / and I dropped the spoon | and I missed the whole rhyme
The radio said {T} | and then it went dead / I've carried that silence | all day in my head
I practised {T} | in the bathroom for weeks / the mirror has opinions, | it winks when it speaks
A man on the bus | had it sewn on his sleeve / just {T} in red letters, | I didn't want to leave
I dreamed about {T} | and it sat on my chair / it borrowed my slippers, | it didn't much care
"""

BRIGHT = """
If luck's running late | then we'll start on our own / there's cake on the table, | we ordered by phone
I pushed up the window, | the day tumbled in / with {jam|paint|mud} on its fingers | and sun on its chin
We'll dance on the table | and apologise later / there's glue for the glasses | and tips for the waiter
So lift up the morning | as high as you can / it weighs about nothing, | it's shaped like a pan
I'm grinning at strangers | and most of them grin / it's like giving coins out | and getting more in
Whatever I dropped | has grown up in a row / I can't call it losing | just look at it grow
"""

SAD = """
I still set two glasses, | I still buy the bread / I still leave the light on | your side of the bed
The longest of journeys | goes door to the lamp / the floor is so cold | and the matches are damp
I wasn't crying, | it's just that the air / had something to say | and my eyes were right there
The photo stays young | and it looks past my ear / at someone who's standing | where I disappear
Some words are like snowflakes, | they weigh nothing much / but try to keep one | and it's gone at a touch
I folded up sorrow | and put it away / it fell from the closet | the very next day
"""

CALM = """
The {kettle|laundry|doorbell} can wait | and the world can be slow / the clouds have a meeting, | they don't have to go
I'm doing just nothing | and doing it well / the tea tells the window | what teacups can tell
Turn down the evening | till all I can hear / is one drop of water | that falls in my ear
The river's not hurried, | the stone doesn't mind / they talk about patience | and leave time behind
The wind turns a page | and then turns it right back / it can't read at all | but it likes white and black
I breathe in for four | and I breathe out for five / the clock on the wall | is just glad it's alive
"""

FIERCE = """
Don't hand me the rules, | they are all of one breed / I've one pair of lungs | and one heart that won't heed
I fell on the floor | and I found there was light / I smeared some on my face | and got up for the fight
The wall's twenty feet | and I've only got two / I'll climb on my shadow | and then I'll climb through
There's a horse in my chest | and it's chewing the rein / you keep what you've got, | I will ride through the rain
I loosened the brake | and let yesterday roll / the mirror is broken, | the road is my soul
I don't need a match, | I'm already on fire / I'll burn through the dark | and I'll sing from the wire
"""

TENDER = """
I don't have the words | so I tilted the rain / a bit to my side | and you didn't complain
Come lean on my shoulder, | it's not very wide / there's room for one moon | and for you on the side
Your cold little hands | in the pocket I keep / have made it a home | where the gloves go to sleep
The roads of the world | lead around to your gate / I walk a bit slow | but I'm never that late
You sneezed and I knew | it was autumn outside / I put out your sweater, | my arms open wide
I keep every mood | that you throw at the wall / I won't sell a single one, | I want them all
"""
