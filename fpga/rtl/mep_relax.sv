// The new state of one unit: four registered stages, a unit a cycle.
module mep_relax #(
`include "mep_config.svh"
) (
    input  logic                 clk,
    input  logic        [TW-1:0] layer,  // with the operands
    input  logic                 fill,   // rest instead of a step
    input  logic signed [BB-1:0] bias,
    input  logic signed [UB-1:0] up,
    input  logic signed [DB-1:0] down,
    input  logic signed [SB-1:0] state,
    input  logic signed [PB-1:0] pull,
    output logic signed [SB-1:0] next,   // three cycles later
    output logic                 changed // with it: is not the old state
);
    logic signed [TB-1:0] local_part, up_part, down_part, near, far, total, change_next, change;
    logic signed [TB:0] moved;
    logic signed [SB-1:0] state_2, state_3, state_4, low_next, high_next, rest_next, low, high, rest;
    logic [TW-1:0] layer_2;
    logic fill_2, fill_3;
    wire unused = &{1'b0, pull};  // its upper bits, where the total is narrower
    always_comb begin
        {local_part, up_part, down_part} = '0;
        for (int t = 1; t <= M; t++)
            if (layer == TW'(t)) begin
                local_part = (TB'(bias) + TB'(pull) - TB'(state)) <<< HEAD[32*t+:32];
                up_part = TB'(up) <<< UP_SHIFT[32*t+:32];
                down_part = HALF[64*t+:TB];
                if (HAS_ABOVE != 0 || t < M) down_part = down_part + (TB'(down) <<< DOWN_SHIFT[32*t+:32]);
            end
    end
    always_comb begin
        total = near + far;
        {change_next, low_next, high_next, rest_next} = '0;
        for (int t = 1; t <= M; t++)
            if (layer_2 == TW'(t)) begin
                change_next = total >>> STEP[32*t+:32];
                low_next = LOW[32*t+:SB];
                high_next = HIGH[32*t+:SB];
                rest_next = REST[32*t+:SB];
            end
        moved = (TB+1)'(change) + (TB+1)'(state_3);
    end
    assign changed = next != state_4;
    always_ff @(posedge clk) begin
        state_4 <= state_3;
        near <= local_part + up_part;
        far <= down_part;
        {layer_2, fill_2, state_2} <= {layer, fill, state};
        {change, low, high, rest} <= {change_next, low_next, high_next, rest_next};
        {fill_3, state_3} <= {fill_2, state_2};
        if (fill_3) next <= rest;
        else if (moved < (TB+1)'(low)) next <= low;
        else if (moved > (TB+1)'(high)) next <= high;
        else next <= moved[SB-1:0];
    end
endmodule
