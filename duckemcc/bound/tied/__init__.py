"""The ends of a query over independent causes that share patterns, a curved set: what proves them.

The set {θ : P_p(θ_1, …, θ_J) = m_p} is written in the products W(u_1, …, u_J) = Π_j θ_j(u_j), where patterns and query
are linear; that W is a product is what a linear program cannot say.

    problem.py      the causes, with the states merged that neither patterns nor query tell apart
    climb.py        points of the set, and steps on it that raise the query: the end that is attained
    lowrank.py      what follows for one cause from the rank of a table of patterns
    closure.py      rows that hold of every product in the set: what is identified, times the other causes
    bilinear.py     the functions of a cause in which the set and the query are not linear given these rows
    solver.py       linear programs in HiGHS
    relaxation.py   the program over W, with ranges of these functions, and the bound that its duals prove
    search.py       ranges and branching until the bound meets the attained end
"""
