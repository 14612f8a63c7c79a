def draw_choices(questions): return questions
