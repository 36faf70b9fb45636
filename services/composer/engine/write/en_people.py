"""English couplets about love, home, city, friendship, farewell, childhood, work, and the life of any other theme.

The form of the tables is that of `en_nature`.
"""

LOVE = """
Your toothbrush leans in | as if telling mine news / of what the rain said | to the soles of our shoes
You said you're not hungry | and ate half my plate / I knew from that minute | I'd always be late
The film had been over | for most of an hour / your hand was still mine | like a borrowed flower
You fell fast asleep | on the passenger side / I took the long way | just to lengthen the ride
I wrote you a letter | then crossed it all out / it's cold, wear a scarf | is what love is about
We fight by the rule | that it ends before tea / whoever pours first | is the one to agree
You step on my shadow | whenever it's long / I slow myself down | so you won't get it wrong
Your name on my phone | is the sound of the day / I never once minded | to wake up that way
You dance in the kitchen | with {spoons|paint|foam} in your hair / the soup has gone over | and I couldn't care
The moon was so full | that you told me to look / I'd seen it before | like the end of a book
I've mended your {cup|bowl|plate} | and the crack caught the light / now every good morning | has gold on the right
Some people give diamonds, | you gave me your coat / with one peppermint | and a grocery note
"""

HOME = """
My key's in the door | and the dog starts to sing / the whole staircase knows | what the evening will bring
My mother's old apron | still hangs by the stove / the pocket has sugar | and one little clove
She says she is fine | and I shouldn't come by / then sets out my cup | and a warm {apple|cherry|berry} pie
The marks on the door frame | go up like a stair / the top one's on tiptoe | with leaves in my hair
The sofa has holes | in the shape of us all / my grandfather's still there | and so is the shawl
My father says little, | he checks all four tires / it's how he says love, | with a gauge and some pliers
The tree in the yard | got much older than me / it still knows my feet | and the scar on my knee
The kettle remembers | the songs that we knew / it starts them too high | and it finishes blue
The slippers are waiting | with toes to the wall / they've heard every footstep | that came down the hall
There's one yellow window | at the end of the lane / I'd find it with both eyes shut | in the rain
The table is crowded | with elbows and bread / nobody listens | and all of it's said
My bag won't zip up | with the {jam|ham} and the cheese / she adds one more sweater | in case of a breeze
"""

CITY = """
The subway breathes in | and the subway breathes out / a hundred small oceans | with headphones throughout
My balcony garden | is three pots of thyme / the lowest of mountains | a sparrow can climb
The man on the corner | plays {old|slow} saxophone / a coin hits the case | and it sings on its own
The tower at midnight | is one golden square / somebody is working | or {dancing|singing} in there
The cab driver tells me | this bridge was a stream / and here where we're parking, | he courted his dream
The lift holds {six|five|nine} strangers | all reading their feet / the dog is the only one | glad that we meet
The crane on the skyline | leans out for a star / it comes back with neon | from somebody's bar
The window man dangles | on ropes in the air / he wipes off a cloud | and there's more of it there
The bakery opens, | the sky's barely blue / the steam gets up early | and sunrise does too
My neighbour through plaster | is practising scales / I know all his Mondays, | I know how he fails
The street cleaner passes | and waters the stone / the city wakes younger | than cities are known
The red light has stopped us, | we stand in a line / a choir with no conductor | just waiting to shine
"""

FRIENDSHIP = """
You cut your eraser | exactly in two / and half of my errors | were rubbed out by you
I fell off my bike | and you laughed till you cried / then walked the thing home | with my arm at your side
We planned for three years | to go chasing the sun / we got to the noodle shop | called it well done
Your eyes are closed tight | in each picture we took / and you're the first one there | wherever I look
You owe me a {dinner|birthday|jacket} | from ten years ago / the interest is talking | and laughing, you know
You rang me at midnight | and started to grin / I heard it was crying | so I said come in
The years in between us | sat down at the bar / you told the same joke | and we got just as far
You carried my {sofa|wardrobe} | up five flights of stair / then fell fast asleep | like you'd always been there
We swore by the river | with spit on each hand / the river remembers | and so does the sand
You sing out of tune | and you sing it with pride / I'd know it in crowds | from the opposite side
When we're old and crooked, | we'll rent the same street / you'll shout at my {pigeons|roses}, | I'll envy your feet
You never said sorry, | you brought me a pear / and ate it yourself | which was more than fair
"""

FAREWELL = """
Your scarf was so long | that it stayed for a while / on my side of the window | for nearly a mile
We said it so lightly | like see you for tea / then nobody moved | from the luggage but me
The nail in the plaster | still waits for the frame / a square of clean wall | has the shape of your name
You sat on the suitcase | to get it to close / and what you sat down on | nobody knows
We filled up the glasses | right up to the brim / one toast for the boat | and one more for him
Your train was a dot | and the dot was a line / I waved at them both | in case one was a sign
I water your {fern|plant|rose} | on the days that you said / it leans to the west | and it lifts up its head
You wiped with your hand | at the fog on the glass / it only made clearer | how quickly trains pass
I'll just walk you down | to the end of the street / and then to the next one, | I've got restless feet
The word that I wanted | got stuck on its way / it came round the corner | when you'd gone for the day
The landlord has taken | the key and the chair / he can't take the echo, | it still says we're there
So leave me your {sweater|teapot|atlas} | and leave me your key / and leave on a Sunday | more gently than me
"""

CHILDHOOD = """
A line on the desk | said this half here is mine / an elbow across | and a sweet was the fine
My marble rolled off | down the drain by the gate / it's still down there waiting, | it's worth the wait
We sent paper planes | with the teacher on board / the window was open | and everyone roared
Three channels of snow | on the television screen / we hit it with slippers | till somebody was seen
I jumped on one leg | through the squares made of chalk / by the time I reached heaven, | my mother said walk
My tooth's on the roof | where the sparrows can tell / they promised a new one | and that it would smell
We carried the fireflies | home in a jar / she let them all go | so they'd be where they are
The raft that we built | had a {flag|cat} and a cook / it sank like a stone | with my library book
My exam was a boat | and it sailed very well / the river can't read | so the river won't tell
One ice cream, two {brothers|sisters} | and turns by the bite / I still say he cheated, | he still says I might
My grandmother's whistle | could cross seven yards / it called us from treetops, | from pirates and cards
The summer was longer | than summers are now / we measured it out | by the moo of a cow
"""

WORK = """
The clock says get up | and the bed says not yet / my wage clears its throat | from a cloud of regret
My sandwich was square | when I boarded the train / it's now more a map | of the {north|south} part of Spain
The boss says a minute | and puts on the tea / we talk until Tuesday, | we haven't reached me
The printer is jammed | and I know how it feels / we both of us whirr | with the paper in heels
The clock in the meeting | goes slower than most / it must have a home too | with {butter|honey} and toast
The lift takes us down | like the end of a sigh / by floor number two, | I remember the sky
There's crumbs in the keyboard, | they've formed a small crew / their meetings are shorter | and livelier too
My hands know the weather, | the rope and the wheel / there's years in the leather | that I can still feel
The helmet turned over | holds starlight and rain / old {Jack|Bill|Joe} says it's wages | and fills it again
The hallway lights waken | for each step I take / I think that this building | is glad I'm awake
It's Friday, the folders | are dreaming of flight / I hold them all down | and say not before night
The mop and the bucket | have danced here since three / they shine up the morning | for you and for me
"""

LIFE = """
The toothpaste is rolled | to the end of its days / I squeeze out a morning | in mysterious ways
A key in the drawer | that fits nothing I own / I keep it in case | there's a door all alone
The shirts on the line | have been taught to applaud / I bow with my teacup, | my smile very broad
The cobbler next door | has the news on all day / he mends the whole world | in his own little way
The milk is on sale | since it ends with tonight / I drink to tomorrow | and turn off the light
A band came along | with nobody on drum / I played on a {saucepan|bucket|teapot} | and made myself some
The greengrocer winks | and she throws in a beet / she says the best medicine | is what you eat
The face in the mirror | got up before me / its hair has a question | and so has its knee
The kettle was quiet | till it couldn't be / then sang all at once | like a {bird|lark} from a tree
A leaf in the book | that I borrowed last May / from somebody's autumn | has chosen to stay
The forecast says sunny, | I bring my umbrella / it likes to come with me, | it's that kind of fella
I looked for my glasses | all over the place / they watched the whole thing | from the top of my face
"""
