"""English couplets about sea, night, spring, rain, stars and road; both lines of a pair tell one small scene.

Each line of a table is one couplet: first line / second line, with the pause of each as `|`. The two lines rhyme.
"""

SEA = """
I carried my shoes | and I let the water talk / it followed me home | for the half of the walk
The lighthouse blinks slow | like a man half asleep / counting the boats | that the dark wants to keep
A {gull|crow} stole my {lunch|chips|hat} | and it looked rather proud / I would have said thanks | if it wasn't so loud
I wrote down your name | where the wave couldn't reach / it climbed a bit higher | and ate half the beach
The shell {on|at} my ear | says the line may be slow / the ocean is calling | and won't let me go
The fishing boats lie | with their bellies in the sun / dreaming of weather | and glad there is none
We built us a castle | with a door and a key / and rented the {ballroom|kitchen|attic} | all night to the sea
There's salt on my lips | and there's sand in my bed / and one little sunburn | that won't leave my head
The last {ferry|steamer} hums | with its lamps in a row / it carries the evening | wherever they go
The tide has a secret, | it tells to each stone / it says it so softly | they think they're alone
The captain grew {roses|pumpkins|tulips} | on top of the hill / he says that the garden | won't keep itself still
A bottle came back | with the note that I wrote / the sea had corrected | the rhyme and the boat
"""

NIGHT = """
The {fridge|clock|tap} in the kitchen | hums low to the floor / it knows every midnight | I come back for more
The moon on the wire | hangs there like a coat / that somebody left | with a hole at the throat
I turned the clock back | just to bargain for time / it gave me one hour | and charged me a dime
The cat from next door | takes the roofs as his own / he walks like a landlord | who's late for the phone
One window still burning | on the opposite side / we've never once spoken | and we've never once lied
My pillow has two sides | and one of them's cool / I turn like a page | from the backroom at school
I counted the sheep | till they asked for a break / now four of us sit here | completely awake
The {taxi|trolley} light passes | and paints on the wall / a river of yellow | that lasts through the hall
The night shift is singing | with {mops|brooms} for a band / the floor of the station | shines under each hand
The streetlights are yawning, | they've seen it before / the boy with his {flowers|roses} | who stands at the door
The dark is a blanket | with holes that let through / a handful of glitter | and one thought of you
The baker is up now, | he's flour to the chin / he opens the oven | and morning walks in
"""

SPRING = """
The coat on the hook | has a coin from last year / a ticket, a sweet | and a whiff of the pier
The {mint|fern} on the sill | never asked to come in / it stood up one morning | and started to win
The swallows are back | to inspect the old beam / they find every straw | where they left it in dream
The river unbuttons | its collar of ice / and says what it swallowed | all winter, but twice
A woman sells {lilac|tulips|cherries} | from two battered pails / the whole road behind her | is telling us tales
My kite pulled so hard | that I thought I could fly / there's one of me down here | and one in the sky
The rain has gone over, | the garden is new / the snail on the {lettuce|cabbage|rosebush} | has nothing to do
The children have opened | the school like a jar / and laughter runs out | with no thought of how far
The gardener is kneeling | to hear what they say / the {onions|turnips|carrots} discussing | the first day of May
The first one in short sleeves | is laughed at in town / by Sunday we all | have our winter things down
The cherry tree drops | every coin that it had / it's broke by the weekend | and doesn't feel bad
The sun came to breakfast | and sat on my chair / I gave it my {toast|egg} | and it shone in my hair
"""

RAIN = """
The rain types a letter | all over my hat / it writes to the gutters | and that will be that
Two people, one umbrella | and not enough roof / your sleeve is the witness, | my shoulder the proof
The {cat|dog} keeps the window | and reads every drop / as if they were stories | that don't want to stop
The puddles are mirrors | the city lies in / I step on a tower | and splash to the shin
I borrowed your raincoat | the day that we met / I've owed it ten years | and I'm not even wet
The wipers say maybe, | the wipers say no / we sit in the car | and we don't want to go
The thunder moves wardrobes | upstairs in the sky / the lightning takes pictures | and won't tell us why
The roof has a leak | and the leak has a tune / we've put out four buckets | to play us till noon
The bus stop is crowded | with strangers and steam / we share one dry corner | like sharing a dream
The rain has forgotten | the reason it came / it stands at the corner | and whispers a name
My socks on the heater | are telling the tale / of one little puddle | the size of a whale
The clouds took their hats off, | the sun said its piece / and all of the {sparrows|pigeons} | signed up for the lease
"""

STARS = """
I lay on the roof | where the tiles were still warm / and counted the sparks | of that faraway storm
The light that I'm seeing | set out long ago / it ran all this way | for a boy it won't know
One star is so small | that it shouts to be seen / it says it's a sun | if you know what I mean
I joined up the dots | and I drew you a chair / sit down for a while, | there's a seat by the Bear
A comet came by | with its hair all undone / it couldn't stay long, | it was late for the sun
The telescope trembles | and so does my knee / there's Saturn in {earrings|bracelets|slippers} | as plain as can be
The power went out | and the whole street looked up / the sky had been filling | all night like a cup
My wish missed the star | and it fell in the lake / the fish got a {bike|drum|kite} | by an honest mistake
The spaceman sends {postcards|letters} | with nothing to say / it's dark here, it's lovely, | I'll be home one day
The Milky Way spilled | and nobody cried / they pulled up a blanket | and lay down inside
We're made out of stardust, | my teacher once said / it's hard to remember | when making the bed
The morning puts out | every lamp with a thumb / and keeps one for later | for nights that will come
"""

ROAD = """
My suitcase has wheels | and a song of its own / it stumbles on cobbles | in some minor tone
I folded the map | till it tore at the crease / right over the town | where I thought I'd find peace
The trucker shared {coffee|doughnuts|crackers} | and half of his view / he said that the stars | are a rear mirror too
The tunnel took daylight | and then gave it back / with {poppies|meadows|orchards} and horses | on both sides the track
The satnav says turn | and I turn up the sound / it sulks for a mile | then it comes back around
The ticket I kept | is a bookmark today / it falls on the floor | and the train pulls away
The mountains step backwards | to let us go through / they've done it for ages | and still like the view
The motel key hangs | from a block made of wood / as if I'd take this room | away if I could
The signpost points left | and the wind pushes right / I flip my last coin | and it rolls out of sight
My boots have worn thin | where the stories got in / one more hundred miles | and they'll start to begin
A dog in a village | ran with us a while / then sat at the border | and gave us a smile
The road doesn't end, | it just changes its name / and you're not the same | and the dust is the same
"""
